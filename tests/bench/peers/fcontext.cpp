/* SPDX-License-Identifier: MIT */
/* Boost.Context's raw switch: the floor, without any scheduler. */
#include <boost/context/detail/fcontext.hpp>

#include "../bench.h"

namespace ctx = boost::context::detail;

static void bounce(ctx::transfer_t from)
{
	for (;;)
		from = ctx::jump_fcontext(from.fctx, nullptr);
}

static void run_switch(const char *name, long count)
{
	static char stack[65536] __attribute__((aligned(16)));
	ctx::fcontext_t other = ctx::make_fcontext(stack + sizeof(stack), sizeof(stack), bounce);
	double start = bench_now_ns();

	for (long i = 0; i < count / 2; i++)
		other = ctx::jump_fcontext(other, nullptr).fctx;
	bench_report(name, (bench_now_ns() - start) / (double)count);
}

int main(int argc, char **argv)
{
	static const struct bench all[] = {{"switch", run_switch, 50000000}, {}};
	struct bench bench = bench_choose(argc, argv, all);

	bench.run(bench.name, bench.count);
}
