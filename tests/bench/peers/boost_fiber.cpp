/* SPDX-License-Identifier: MIT */
/* The benchmarks for Boost.Fiber, one thread, round robin. It has no select. */
#include <boost/fiber/all.hpp>
#include <vector>

#include "../bench_memory.h"

namespace fibers = boost::fibers;

static const int SPAWN_BATCH = 256;

static void run_switch(const char *name, long count)
{
	auto yielder = [count] {
		for (long i = 0; i < count / 2; i++)
			boost::this_fiber::yield();
	};
	double start = bench_now_ns();
	fibers::fiber a(yielder), b(yielder);

	a.join();
	b.join();
	bench_report(name, (bench_now_ns() - start) / (double)count);
}

template <typename Channel> static void stream(const char *name, long count, Channel &chan)
{
	double start = bench_now_ns();
	fibers::fiber from([&] {
		for (long i = 0; i < count; i++)
			chan.push(i);
	});
	fibers::fiber to([&] {
		long value = 0;

		for (long i = 0; i < count; i++)
			chan.pop(value);
		bench_need(value == count - 1, "receiving in order");
	});

	from.join();
	to.join();
	bench_report(name, (bench_now_ns() - start) / (double)count);
}

static void run_message(const char *name, long count)
{
	fibers::unbuffered_channel<long> chan;

	stream(name, count, chan);
}

static void run_buffered(const char *name, long count)
{
	fibers::buffered_channel<long> chan(128);

	stream(name, count, chan);
}

static void run_spawn(const char *name, long count)
{
	fibers::pooled_fixedsize_stack stacks(65536);
	long batches = (count + SPAWN_BATCH - 1) / SPAWN_BATCH;
	long left;
	auto batch = [&] {
		left = SPAWN_BATCH;
		for (int i = 0; i < SPAWN_BATCH; i++)
			fibers::fiber(std::allocator_arg, stacks, [&left] { --left; }).detach();
		while (left)
			boost::this_fiber::yield();
	};

	batch();

	double start = bench_now_ns();

	for (long i = 0; i < batches; i++)
		batch();
	bench_report(name, (bench_now_ns() - start) / (double)(batches * SPAWN_BATCH));
}

static void run_mutex(const char *name, long count)
{
	fibers::mutex mutex;
	double start = bench_now_ns();

	for (long i = 0; i < count; i++) {
		mutex.lock();
		mutex.unlock();
	}
	bench_report(name, (bench_now_ns() - start) / (double)count);
}

static void run_parked(const char *name, long count)
{
	std::vector<fibers::fiber> all((size_t)count);
	fibers::unbuffered_channel<long> gate;
	struct bench_footprint before = bench_footprint_now();
	long parked = 0;

	for (auto &fiber : all)
		fiber = fibers::fiber(std::allocator_arg, fibers::fixedsize_stack(65536), [&] {
			long value;

			parked++;
			gate.pop(value);
		});
	while (parked < count)
		boost::this_fiber::yield();
	bench_report_footprint(name, before, count);
	gate.close();
	for (auto &fiber : all)
		fiber.join();
}

int main(int argc, char **argv)
{
	static const struct bench all[] = {
		{"switch", run_switch, 5000000},
		{"message", run_message, 2000000},
		{"buffered", run_buffered, 5000000},
		{"spawn", run_spawn, 1000000},
		{"mutex", run_mutex, 20000000},
		{"parked_100k", run_parked, 100000},
		{},
	};
	struct bench bench = bench_choose(argc, argv, all);

	bench.run(bench.name, bench.count);
}
