/* SPDX-License-Identifier: MIT */
/* The forms in which a program writes its leaks, the names in them, and assertions of tests. */
#include "leak_case.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/mman.h>

#include "strand/symbols.h"

static char text[1 << 16];

/* Static, so that only .symtab knows them; kept apart, so that their stacks differ. */
static __attribute__((noinline)) void wait_in_vain(void *arg)
{
	(void)arg;
	strand_chan_recv(NULL, STRAND_FOREVER, NULL);
	__asm__ volatile("");
}

static __attribute__((noinline)) void send_in_vain(void *arg)
{
	(void)arg;
	strand_chan_send(NULL, NULL, STRAND_FOREVER);
	__asm__ volatile("");
}

/* Three receivers and a sender. */
static __attribute__((noinline)) void leak_four(void)
{
	go(wait_in_vain);
	go(send_in_vain);
	go(wait_in_vain);
	go(wait_in_vain);
	await_parked(STRAND_WAIT_CHAN_RECEIVE_NIL, 3);
	await_parked(STRAND_WAIT_CHAN_SEND_NIL, 1);
}

/* What strand_leaks_write writes into text. Returns what it returns. */
static int write_leaks(enum strand_leaks_form form)
{
	int fd = memfd_create("leaks", MFD_CLOEXEC), r;
	ssize_t n;

	do {
		expect_eq(ftruncate(fd, 0), 0);
		expect_eq(lseek(fd, 0, SEEK_SET), 0);
		r = strand_leaks_write(fd, form, 0);
	} while (r == -EAGAIN);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return r;
}

static size_t occurrences(const char *what)
{
	size_t n = 0;

	for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
		n++;
	return n;
}

static int debug_2(void *arg)
{
	(void)arg;
	expect_eq(write_leaks(STRAND_LEAKS_DEBUG_2), 0);
	expect_true(!strcmp(text, ""));
	leak_four();
	expect_eq(write_leaks(STRAND_LEAKS_DEBUG_2), 4);
	expect_eq(occurrences(" [chan receive (nil chan) (leaked)]:\nwait_in_vain(...)\n\t/"), 3);
	expect_eq(occurrences(" [chan send (nil chan) (leaked)]:\nsend_in_vain(...)\n\t/"), 1);
	expect_eq(occurrences("created by leak_four in goroutine 1\n\t/"), 4);
	return 0;
}

static int debug_1(void *arg)
{
	const char *receivers, *sender;

	(void)arg;
	expect_eq(write_leaks(STRAND_LEAKS_DEBUG_1), 0);
	expect_true(!strcmp(text, "goroutineleak profile: total 0\n"));
	leak_four();
	expect_eq(write_leaks(STRAND_LEAKS_DEBUG_1), 4);
	receivers = strstr(text, "goroutineleak profile: total 4\n3 @ 0x");
	sender = strstr(text, "\n\n1 @ 0x");
	expect_true(receivers == text && sender);
	expect_eq(occurrences(" @ 0x"), 2);
	expect_eq(occurrences("\twait_in_vain+0x"), 1);
	expect_eq(occurrences("\tsend_in_vain+0x"), 1);
	expect_true(sender && strstr(sender, "\tsend_in_vain+0x"));
	return 0;
}

static json_t *parse(void)
{
	json_error_t error;
	json_t *root = json_loads(text, 0, &error);

	if (!root)
		dprintf(STDERR_FILENO, "%s, line %d\n%s\n", error.text, error.line, text);
	expect_true(root);
	return root;
}

static const char *string_in(json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static int json(void *arg)
{
	json_t *root, *task, *frame;
	size_t i;

	(void)arg;
	expect_eq(write_leaks(STRAND_LEAKS_JSON), 0);
	root = parse();
	expect_eq(json_array_size(json_object_get(root, "tasks")), 0);
	expect_true(json_is_true(json_object_get(root, "searched")));
	json_decref(root);
	expect_eq(strand_task_set_name("a \"b\" \\ \n\xff"), 0);
	leak_four();
	expect_eq(write_leaks(STRAND_LEAKS_JSON), 4);
	root = parse();
	expect_eq(json_integer_value(json_object_get(root, "leaked")), 4);
	expect_eq(json_array_size(json_object_get(root, "tasks")), 4);
	json_array_foreach(json_object_get(root, "tasks"), i, task)
	{
		bool sends = !strcmp(string_in(task, "reason"), "chan send (nil chan)");

		frame = json_array_get(json_object_get(task, "stack"), 0);
		expect_true(!strcmp(string_in(frame, "function"),
				    sends ? "send_in_vain" : "wait_in_vain"));
		expect_true(!strcmp(string_in(task, "why"), "it waits for nothing that exists"));
		expect_true(
			!strcmp(string_in(task, "name"), "a \"b\" \\ \xef\xbf\xbd\xef\xbf\xbd"));
		expect_eq(json_integer_value(json_object_get(task, "searches_seen")), 1);
	}
	json_decref(root);
	return 0;
}

static int unknown_form(void *arg)
{
	(void)arg;
	expect_eq(strand_leaks_write(STDERR_FILENO, (enum strand_leaks_form)99, 0), -EINVAL);
	return 0;
}

/* ---- assertions ---------------------------------------------------------------------------- */

static int assert_no_leaks(strand_time settle, const char *const *ignore)
{
	int saved = dup(STDERR_FILENO), file = memfd_create("stderr", MFD_CLOEXEC), r;
	ssize_t n;

	dup2(file, STDERR_FILENO);
	r = strand_assert_no_leaks(settle, ignore);
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = pread(file, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(file);
	return r;
}

static int assertions(void *arg)
{
	static const char *const receivers[] = {"wait_in_vain", NULL};
	static const char *const both[] = {"wait_in_vain", "send_in_vain", NULL};
	static const char *const creator[] = {"leak_four", NULL};
	static const char *const others[] = {"wait", "wait_in_vain_too", "", NULL};

	(void)arg;
	expect_eq(assert_no_leaks(STRAND_SECOND, NULL), 0);
	expect_true(!strcmp(text, ""));
	leak_four();
	expect_eq(assert_no_leaks(STRAND_SECOND, NULL), 4);
	expect_eq(occurrences("wait_in_vain(...)"), 3);
	expect_eq(assert_no_leaks(STRAND_SECOND, others), 4);
	expect_eq(assert_no_leaks(STRAND_SECOND, receivers), 1);
	expect_eq(occurrences("wait_in_vain(...)"), 0);
	expect_eq(occurrences("send_in_vain(...)"), 1);
	expect_eq(assert_no_leaks(STRAND_SECOND, both), 0);
	expect_eq(assert_no_leaks(STRAND_SECOND, creator), 0);
	expect_true(!strcmp(text, ""));
	return 0;
}

/* Still runs when it is asked, and leaks a little later: the time to settle is for that. */
static void leak_soon(void *arg)
{
	strand_sleep(strand_now() + 20 * STRAND_MILLISECOND);
	wait_in_vain(arg);
}

static int leak_while_settling(void *arg)
{
	(void)arg;
	go(leak_soon);
	expect_eq(assert_no_leaks(0, NULL), 0);
	expect_eq(assert_no_leaks(60 * STRAND_SECOND, NULL), 1);
	return 0;
}

static void *ask_from_thread(void *arg)
{
	*(int *)arg =
		strand_assert_no_leaks(STRAND_SECOND, (const char *const[]){"leak_four", NULL});
	return NULL;
}

static int from_a_thread(void *arg)
{
	pthread_t thread;
	int r = -1;

	(void)arg;
	leak_four();
	start_thread(&thread, ask_from_thread, &r);
	while (__atomic_load_n(&r, __ATOMIC_SEQ_CST) == -1)
		strand_yield();
	pthread_join(thread, NULL);
	expect_eq(r, 0);
	return 0;
}

/* ---- names ------------------------------------------------------------------------------------ */

static int some_variable[4];

static void test_names(void **state)
{
	struct symbols *s = symbols_new();
	struct symbol symbol;

	(void)state;
	symbols_find(s, (uintptr_t)wait_in_vain + 1, &symbol);
	assert_string_equal(symbol.name, "wait_in_vain");
	assert_int_equal(symbol.offset, 1);
	assert_non_null(strstr(symbol.module, "/test_leaks_write"));
	symbols_find(s, (uintptr_t)&some_variable[2], &symbol);
	assert_string_equal(symbol.name, "some_variable");
	assert_int_equal(symbol.offset, 2 * sizeof(int));
	symbols_find(s, (uintptr_t)&open, &symbol); /* of another module, and back */
	assert_non_null(strstr(symbol.module, "libc"));
	symbols_find(s, (uintptr_t)send_in_vain, &symbol);
	assert_string_equal(symbol.name, "send_in_vain");
	symbols_find(s, (uintptr_t)&symbol, &symbol);
	assert_string_equal(symbol.name, "");
	assert_string_equal(symbol.module, "??");
	symbols_free(s);
	symbols_find(NULL, (uintptr_t)send_in_vain, &symbol);
	assert_string_equal(symbol.name, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_case(debug_2),       leak_case(debug_1),
		leak_case(json),          leak_case(unknown_form),
		leak_case(assertions),    leak_case(leak_while_settling),
		leak_case(from_a_thread), cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
