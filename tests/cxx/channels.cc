// SPDX-License-Identifier: MIT
// libstrand from C++: all of its header compiles, links and works; exceptions stay in their task.
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include <strand.h>
#include <strand/abi.h>

namespace
{

struct strand_chan *words;

void sender(void *arg)
{
	std::unique_ptr<std::string> word(static_cast<std::string *>(arg));
	char element[16] = {};

	std::strncpy(element, word->c_str(), sizeof(element) - 1);
	strand_chan_send(words, element, STRAND_FOREVER);
}

// The unwinder walks a task's stack: from two calls down to the handler, over a switch.
int throw_late(int depth)
{
	strand_yield();
	if (depth == 0)
		throw std::runtime_error("thrown in a task");
	return throw_late(depth - 1) + 1;
}

int catcher(void *)
{
	try {
		return throw_late(2);
	} catch (const std::runtime_error &error) {
		return std::strcmp(error.what(), "thrown in a task") == 0 ? 7 : 1;
	}
}

int check(bool good, const char *what)
{
	if (!good)
		std::fprintf(stderr, "channels.cc: %s\n", what);
	return good ? 0 : 1;
}

int run(void *)
{
	struct strand_task_options options = {};
	struct strand_task *tasks[8];
	struct strand_stats stats = {};
	char element[16];
	int failed = 0, result = 0;

	options.size = sizeof(options);
	options.name = "c++";
	failed += check(strand_chan_new(sizeof(element), 0, &words) == 0, "no channel");
	failed += check(strand_go_with(&options, sender, new std::string("hello")) == 0, "no task");
	failed += check(strand_chan_recv(words, STRAND_FOREVER, element) == 0, "nothing came");
	failed += check(std::strcmp(element, "hello") == 0, "something else came");
	for (auto &task : tasks)
		failed += check(strand_spawn(nullptr, catcher, nullptr, &task) == 0, "no task");
	for (auto task : tasks) {
		failed += check(strand_join(task, STRAND_FOREVER, &result) == 0, "no end");
		failed += check(result == 7, "the exception was not caught");
		strand_task_unref(task);
	}
	stats.size = sizeof(stats);
	failed += check(strand_stats(&stats) == 0 && stats.tasks_alive == 1, "no statistics");
	words = strand_chan_unref(words);
	return failed;
}

} // namespace

int main()
{
	return strand_main(run, nullptr);
}
