/* SPDX-License-Identifier: MIT */
/*
 * Tests of discovery with real child processes that map a made libstrand.
 *
 * The children map the file privately and never write: what the test writes into the file is
 * what is in their memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "observe/disposable.h"
#include "observe/target.h"
#include "made_elf.h"
#include "unanswered_page.h"

/* ---- children ------------------------------------------------------------ */

struct child {
	pid_t pid;
	char *bias; /* where it loaded the file */
	int go;     /* write end: one byte lets it go on */
};

struct child_plan {
	int fd;                      /* the file to load */
	const char *name;            /* of the process; NULL: as the test's */
	bool deadlock;               /* the descriptor's page is never answered */
	void (*then)(void *context); /* when it is let go; NULL: it ends */
	void *context;
};

static void run_child(const struct child_plan *plan, int tell, int go)
{
	char *bias = made_elf_load(plan->fd);
	void *page;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (plan->name)
		prctl(PR_SET_NAME, plan->name);
	if (plan->deadlock && unanswered_page(bias + MADE_DATA_VADDR, &page) < 0)
		_exit(1);
	if (bias == MAP_FAILED || write(tell, &bias, sizeof(bias)) != sizeof(bias))
		_exit(1);
	while (read(go, &byte, 1) == 1)
		if (plan->then)
			plan->then(plan->context);
	_exit(0);
}

static struct child start_child(const struct child_plan *plan)
{
	struct child c;
	int tell[2], go[2];

	assert_int_equal(pipe2(tell, O_CLOEXEC) | pipe2(go, O_CLOEXEC), 0);
	c.pid = fork();
	if (c.pid == 0) {
		close(go[1]);
		run_child(plan, tell[1], go[0]);
	}
	close(tell[1]);
	close(go[0]);
	assert_int_equal(read(tell[0], &c.bias, sizeof(c.bias)), sizeof(c.bias));
	close(tell[0]);
	c.go = go[1];
	return c;
}

static struct child load(int fd)
{
	return start_child(&(struct child_plan){.fd = fd});
}

static void end_child(struct child *c)
{
	kill(c->pid, SIGKILL);
	assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
	close(c->go);
}

/* ---- files and what they say --------------------------------------------- */

static int sound_file(void)
{
	union made_elf elf;

	made_elf_init(&elf);
	int fd = made_elf_memfd(&elf, sizeof(elf));
	assert_true(fd >= 0);
	return fd;
}

static struct strand_descriptor descriptor_of(pid_t pid)
{
	union made_elf elf;

	made_elf_init(&elf);
	made_descriptor(&elf)->pid = pid;
	made_descriptor(&elf)->control_fd = 5;
	return *made_descriptor(&elf);
}

static void say(int fd, const struct strand_descriptor *d)
{
	assert_int_equal(pwrite(fd, d, sizeof(*d), MADE_DATA + MADE_DESCRIPTOR), sizeof(*d));
}

/* ---- events -------------------------------------------------------------- */

struct log {
	char text[256]; /* a letter for each: B binary, T target; upper case: added */
};

static void note(struct log *log, char what)
{
	size_t n = strlen(log->text);

	assert_true(n + 1 < sizeof(log->text));
	log->text[n] = what;
	log->text[n + 1] = '\0';
}

static void binary_added(void *context, struct binary *b)
{
	assert_int_equal(b->error, 0);
	note(context, 'B');
}

static void binary_removed(void *context, struct binary *b)
{
	assert_int_equal(b->users, 0);
	note(context, 'b');
}

static void target_added(void *context, struct target *t)
{
	assert_non_null(t->binary);
	note(context, 'T');
}

static void target_changed(void *context, struct target *t)
{
	assert_non_null(t->binary);
	note(context, 'c');
}

static void target_removed(void *context, struct target *t)
{
	assert_non_null(t->binary); /* still there: it is removed afterwards */
	note(context, 't');
}

struct fixture {
	struct discovery d;
	struct log log;
	struct discovery_events events;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	discovery_init(&f->d);
	f->events = (struct discovery_events){
		.context = &f->log,
		.binary_added = binary_added,
		.binary_removed = binary_removed,
		.target_added = target_added,
		.target_changed = target_changed,
		.target_removed = target_removed,
	};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	discovery_done(&f->d);
	free(f);
	return 0;
}

static void expect_events(struct fixture *f, const char *expected)
{
	assert_string_equal(f->log.text, expected);
	f->log.text[0] = '\0';
}

static struct target *scan(struct fixture *f, pid_t pid)
{
	assert_int_equal(discovery_scan(&f->d, pid, &f->events), 0);
	return discovery_find(&f->d, pid);
}

/* ---- tests --------------------------------------------------------------- */

static void comes_and_goes(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file();
	struct child c = load(fd);
	struct strand_descriptor desc = descriptor_of(c.pid);
	struct stat st;

	say(fd, &desc);
	struct target *t = scan(f, c.pid);
	assert_non_null(t);
	expect_events(f, "BT");
	assert_int_equal(t->status, MODEL_OBSERVED);
	assert_null(t->status_text);
	assert_int_equal(t->bias, (uintptr_t)c.bias);
	assert_int_equal(t->descriptor_address, (uintptr_t)made_loaded_descriptor(c.bias));
	assert_string_equal(t->descriptor.build, "made");
	assert_int_equal(t->descriptor.control_fd, 5);
	assert_int_equal(t->uid, geteuid());
	assert_string_equal(t->command, "test_target");
	assert_true(target_alive(t));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(t->binary->ino, st.st_ino);
	assert_int_equal(t->binary->users, 1);
	assert_true(t->binary->image.is_shared_library);

	assert_ptr_equal(scan(f, c.pid), t); /* nothing new */
	expect_events(f, "");
	end_child(&c);
	assert_false(target_alive(t));
	assert_null(scan(f, c.pid));
	expect_events(f, "tb");
	assert_int_equal(f->d.binary_count, 0);
	close(fd);
}

/* Two processes share a binary; a scan of all finds both. */
static void shared_binary(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file();
	struct child a = load(fd), b = load(fd);

	assert_int_equal(discovery_scan(&f->d, 0, &f->events), 0);
	assert_non_null(discovery_find(&f->d, a.pid));
	assert_ptr_equal(discovery_find(&f->d, a.pid)->binary,
			 discovery_find(&f->d, b.pid)->binary);
	assert_null(discovery_find(&f->d, getpid())); /* it has the file open, but not mapped */
	struct binary *shared = discovery_find(&f->d, a.pid)->binary;
	assert_int_equal(shared->users, 2);
	end_child(&a);
	assert_int_equal(discovery_scan(&f->d, 0, &f->events), 0);
	assert_null(discovery_find(&f->d, a.pid));
	assert_int_equal(shared->users, 1);
	end_child(&b);
	close(fd);
}

static void become_nobody(void *context)
{
	(void)context;
	if (setresuid(65534, 65534, 65534))
		_exit(1);
}

/* Only what the scope holds is looked at, and what leaves it is let go. */
static void scope(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file();
	struct child a = load(fd);
	struct child b = start_child(&(struct child_plan){.fd = fd, .then = become_nobody});

	if (geteuid())
		skip();
	f->d.scope = (struct scope){.pid = a.pid};
	assert_int_equal(discovery_scan(&f->d, 0, &f->events), 0);
	assert_non_null(discovery_find(&f->d, a.pid));
	assert_null(scan(f, b.pid));
	f->d.scope = (struct scope){.by_uid = true, .uid = geteuid()};
	assert_int_equal(discovery_scan(&f->d, 0, &f->events), 0);
	assert_non_null(discovery_find(&f->d, a.pid));
	assert_non_null(discovery_find(&f->d, b.pid));
	assert_int_equal(write(b.go, "", 1), 1);
	while (discovery_find(&f->d, b.pid))
		assert_int_equal(discovery_scan(&f->d, 0, &f->events), 0);
	assert_non_null(discovery_find(&f->d, a.pid));
	f->d.scope.uid = 65534;
	assert_non_null(scan(f, b.pid));
	assert_int_equal(discovery_scan(&f->d, 0, &f->events), 0);
	assert_null(discovery_find(&f->d, a.pid));
	end_child(&a);
	end_child(&b);
	close(fd);
}

/* A zombie has no memory and no descriptors left, though its directory is still there. */
static void zombie(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file();
	struct child c = load(fd);
	siginfo_t info;

	struct target *t = scan(f, c.pid);
	assert_non_null(t);
	close(c.go);
	assert_int_equal(waitid(P_PID, c.pid, &info, WEXITED | WNOWAIT), 0);
	assert_false(target_alive(t));
	assert_null(scan(f, c.pid));
	waitpid(c.pid, NULL, 0);
	close(fd);
}

static void descriptors(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file();
	struct child c = load(fd);
	const struct {
		enum model_process_status status;
		const char *text; /* a part of it */
		size_t offset, size;
		uint64_t value;
	} cases[] = {
#define FIELD(name) \
	offsetof(struct strand_descriptor, name), sizeof(((struct strand_descriptor *)0)->name)
		{MODEL_OBSERVED, NULL, FIELD(size), 4096},
		{MODEL_OBSERVED, NULL, FIELD(abi_minor), 9},
		{MODEL_OBSERVED, NULL, FIELD(tasks_exited), 1000}, /* read before the spawns */
		{MODEL_NO_CONTROL, "not running", FIELD(pid), 0},
		{MODEL_NO_CONTROL, "forked from process", FIELD(pid), 1},
		{MODEL_NO_CONTROL, "no control pipe", FIELD(control_fd), UINT32_MAX},
		{MODEL_UNTRUSTED, "magic", FIELD(magic), 1},
		{MODEL_UNSUPPORTED_ABI, "its libstrand speaks ABI 3, this observer speaks 1",
		 FIELD(abi_major), 3},
		{MODEL_UNTRUSTED, "malformed", FIELD(size), sizeof(struct strand_descriptor) - 1},
		{MODEL_UNTRUSTED, "malformed", FIELD(pid), 1u << 31},
		{MODEL_UNTRUSTED, "malformed", FIELD(control_fd), 1 << 20},
		{MODEL_UNTRUSTED, "malformed", FIELD(control_fd), UINT32_MAX - 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct strand_descriptor desc = descriptor_of(c.pid);

		memcpy((char *)&desc + cases[i].offset, &cases[i].value, cases[i].size);
		say(fd, &desc);
		struct target *t = scan(f, c.pid);
		assert_non_null(t);
		if (t->status != cases[i].status)
			fail_msg("case %zu: status %d, %s", i, t->status, t->status_text);
		if (cases[i].text && !strstr(t->status_text, cases[i].text))
			fail_msg("case %zu: %s", i, t->status_text);
		assert_true(t->has_descriptor ==
			    (t->status == MODEL_OBSERVED || t->status == MODEL_NO_CONTROL));
	}
	struct strand_descriptor desc = descriptor_of(c.pid);
	memset(desc.build, 'x', sizeof(desc.build));
	say(fd, &desc);
	assert_int_equal(target_read_descriptor(discovery_find(&f->d, c.pid)), -EBADMSG);
	desc = descriptor_of(c.pid);
	say(fd, &desc);
	assert_int_equal(target_read_descriptor(discovery_find(&f->d, c.pid)), 0);
	assert_int_equal(discovery_find(&f->d, c.pid)->status, MODEL_OBSERVED);
	end_child(&c);
	assert_int_equal(target_read_descriptor(discovery_find(&f->d, c.pid)), -ESRCH);
	close(fd);
}

/* The runtime starts after the process was found. */
static void tells_of_changes(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file();
	struct child c = load(fd);
	struct strand_descriptor desc = descriptor_of(c.pid);

	scan(f, c.pid);
	expect_events(f, "BT");
	say(fd, &desc);
	scan(f, c.pid);
	expect_events(f, "c");
	desc.tasks_spawned = 100; /* a counter is no change */
	say(fd, &desc);
	assert_int_equal(scan(f, c.pid)->descriptor.tasks_spawned, 100);
	expect_events(f, "");
	desc.control_fd = 6;
	say(fd, &desc);
	scan(f, c.pid);
	expect_events(f, "c");
	end_child(&c);
	close(fd);
}

static void unfit_binaries(void **state)
{
	struct fixture *f = *state;

	for (int malformed = 0; malformed < 2; malformed++) {
		union made_elf elf;

		made_elf_init(&elf);
		if (malformed)
			made_note(&elf)->note.size = 1;
		else
			made_note(&elf)->note.abi_major = 3;
		int fd = made_elf_memfd(&elf, sizeof(elf));
		struct child c = load(fd);
		struct target *t = scan(f, c.pid);
		assert_non_null(t);
		assert_int_equal(t->status, malformed ? MODEL_UNTRUSTED : MODEL_UNSUPPORTED_ABI);
		assert_string_equal(t->status_text,
				    malformed
					    ? "the ELF note of its libstrand is malformed"
					    : "its libstrand speaks ABI 3, this observer speaks 1");
		assert_false(t->has_descriptor);
		expect_events(f, "T"); /* nothing to attach to */
		end_child(&c);
		assert_null(scan(f, c.pid));
		expect_events(f, "t");
		assert_int_equal(f->d.binary_count, 0);
		close(fd);
	}
}

static void no_runtime(void **state)
{
	struct fixture *f = *state;
	union made_elf elf;

	made_elf_init(&elf);
	made_note(&elf)->owner[0] = 'x';
	int fd = made_elf_memfd(&elf, sizeof(elf));
	struct child c = load(fd);
	assert_null(scan(f, c.pid));
	assert_int_equal(f->d.binary_count, 0);

	/* The file is remembered as one without a runtime, but not once it has changed. */
	struct timespec later[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	made_elf_init(&elf);
	assert_int_equal(pwrite(fd, &elf, sizeof(elf), 0), sizeof(elf));
	assert_int_equal(futimens(fd, later), 0);
	assert_non_null(scan(f, c.pid));
	end_child(&c);
	close(fd);
}

/* Names that are no names: of the process, and of the file on a disk. */
static void hostile_names(void **state)
{
	struct fixture *f = *state;
	char folder[] = "/var/tmp/test-target-XXXXXX", path[128];
	union made_elf elf;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/lib\n00400000-00500000 r-xp x (deleted)", folder);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	made_elf_init(&elf);
	assert_int_equal(write(fd, &elf, sizeof(elf)), sizeof(elf));
	struct child c = start_child(&(struct child_plan){.fd = fd, .name = ") R 1 (x\nUid:"});
	struct target *t = scan(f, c.pid);
	assert_non_null(t);
	assert_string_equal(t->command, ") R 1 (x\nUid:");
	assert_int_equal(t->uid, geteuid());
	assert_true(target_alive(t));
	assert_int_equal(t->bias, (uintptr_t)c.bias);
	/* Deleted, then replaced by another: the one that is mapped counts. */
	struct binary *before = t->binary;
	unlink(path);
	assert_ptr_equal(scan(f, c.pid), t);
	close(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	assert_ptr_equal(scan(f, c.pid)->binary, before);
	unlink(path);
	rmdir(folder);
	end_child(&c);
	close(fd);
}

static void exec_cat(void *context)
{
	(void)context;
	execl("/bin/cat", "cat", (char *)NULL);
	_exit(127);
}

/* After an exec the number and the start time are the same, the program is not. */
static void exec_replaces_the_program(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file(), in[2], gone[2];
	char byte;

	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(gone, O_CLOEXEC), 0);
	int saved = dup(0);
	dup2(in[0], 0); /* cat will wait for it */
	struct child c = start_child(&(struct child_plan){.fd = fd, .then = exec_cat});
	dup2(saved, 0);
	close(saved);
	assert_non_null(scan(f, c.pid));
	expect_events(f, "BT");
	close(gone[1]);
	assert_int_equal(write(c.go, "x", 1), 1);
	assert_int_equal(read(gone[0], &byte, 1), 0); /* closed by the exec */
	assert_null(scan(f, c.pid));
	expect_events(f, "tb");
	end_child(&c);
	close(in[0]);
	close(in[1]);
	close(gone[0]);
	close(fd);
}

/* The same binary again: it stays, the target is another. */
static void another_process_of_the_same_number(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file();
	struct child c = load(fd);
	struct target *t = scan(f, c.pid);

	expect_events(f, "BT");
	t->start_ticks--;
	assert_false(target_alive(t));
	assert_non_null(scan(f, c.pid));
	expect_events(f, "tT");
	discovery_find(&f->d, c.pid)->stack_start--;
	assert_non_null(scan(f, c.pid));
	expect_events(f, "tT");
	assert_int_equal(discovery_find(&f->d, c.pid)->binary->users, 1);
	end_child(&c);
	close(fd);
}

static void unmap_library(void *context)
{
	struct child *c = context;

	munmap(c->bias + MADE_TEXT_VADDR, 0x1000);
	_exit(write(c->go, "x", 1) != 1 || pause());
}

static void mapping_goes(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file(), done[2];
	char byte;

	assert_int_equal(pipe2(done, O_CLOEXEC), 0);
	/* The child loads where the kernel puts it: it finds the address by itself. */
	struct child hint = load(fd);
	end_child(&hint);
	struct child context = {.bias = hint.bias, .go = done[1]};
	struct child c = start_child(
		&(struct child_plan){.fd = fd, .then = unmap_library, .context = &context});
	assert_ptr_equal(c.bias, hint.bias); /* a fork has its parent's layout */
	assert_non_null(scan(f, c.pid));
	assert_int_equal(write(c.go, "x", 1), 1);
	assert_int_equal(read(done[0], &byte, 1), 1);
	assert_null(scan(f, c.pid));
	expect_events(f, "BTtb");
	end_child(&c);
	close(done[0]);
	close(done[1]);
	close(fd);
}

/* In a pid namespace of its own, where it is process 1 and says so. */
static void pid_namespace(void **state)
{
	struct fixture *f = *state;
	struct strand_descriptor desc = descriptor_of(1);
	int fd = sound_file(), back = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);

	assert_int_equal(unshare(CLONE_NEWPID), 0);
	struct child c = load(fd);
	assert_int_equal(setns(back, CLONE_NEWPID), 0);
	close(back);
	say(fd, &desc);
	struct target *t = scan(f, c.pid);
	assert_non_null(t);
	assert_int_equal(t->inner_pid, 1);
	assert_int_equal(t->status, MODEL_OBSERVED);
	end_child(&c);
	close(fd);
}

/* One that hangs costs the others nothing but time, and is left alone for a while. */
static void hung_memory(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file();
	struct child a = load(fd);
	struct child b = start_child(&(struct child_plan){.fd = fd, .deadlock = true});
	struct child c = load(fd);

	assert_int_equal(discovery_scan(&f->d, 0, &f->events), 0);
	struct target *t = discovery_find(&f->d, b.pid);
	assert_int_equal(t->status, MODEL_HUNG);
	assert_false(t->has_descriptor);
	assert_true(t->retry_ns > 0);
	assert_true(discovery_find(&f->d, a.pid)->has_descriptor);
	assert_true(discovery_find(&f->d, c.pid)->has_descriptor);
	assert_int_equal(disposable_stuck(), 0); /* killed: it waited in a way that allows it */
	int64_t retry_ns = t->retry_ns;
	scan(f, b.pid);
	assert_int_equal(t->retry_ns, retry_ns); /* not tried again */
	assert_int_equal(target_read_descriptor(t), -ETIMEDOUT);
	end_child(&a);
	end_child(&b);
	end_child(&c);
	close(fd);
}

static void lose_the_data(void *context)
{
	struct child *c = context;

	munmap(c->bias + MADE_DATA_VADDR, 0x1000);
	_exit(write(c->go, "x", 1) != 1 || pause());
}

static void descriptor_not_in_memory(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file(), done[2];
	char byte;

	assert_int_equal(pipe2(done, O_CLOEXEC), 0);
	struct child hint = load(fd);
	end_child(&hint);
	struct child context = {.bias = hint.bias, .go = done[1]};
	struct child c = start_child(
		&(struct child_plan){.fd = fd, .then = lose_the_data, .context = &context});
	struct target *t = scan(f, c.pid);
	assert_int_equal(write(c.go, "x", 1), 1);
	assert_int_equal(read(done[0], &byte, 1), 1);
	assert_int_equal(target_read_descriptor(t), -EBADMSG);
	assert_int_equal(t->status, MODEL_UNTRUSTED);
	end_child(&c);
	close(done[0]);
	close(done[1]);
	close(fd);
}

static void nobody(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	assert_null(scan(f, pid));
	assert_int_equal(discovery_scan(&f->d, getpid(), &(struct discovery_events){0}), 0);
	expect_events(f, "");
}

/* Every descriptor that the observer opened is closed again. */
static void leaves_no_descriptors(void **state)
{
	struct fixture *f = *state;
	int fd = sound_file();
	struct child c = load(fd);
	int before = dup(0);

	close(before);
	for (int i = 0; i < 3; i++)
		assert_int_equal(discovery_scan(&f->d, 0, &f->events), 0);
	end_child(&c);
	discovery_done(&f->d);
	int after = dup(0);
	assert_int_equal(before, after);
	close(after);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(comes_and_goes),
		TEST(shared_binary),
		TEST(scope),
		TEST(zombie),
		TEST(descriptors),
		TEST(tells_of_changes),
		TEST(unfit_binaries),
		TEST(no_runtime),
		TEST(hostile_names),
		TEST(exec_replaces_the_program),
		TEST(another_process_of_the_same_number),
		TEST(mapping_goes),
		TEST(pid_namespace),
		TEST(hung_memory),
		TEST(descriptor_not_in_memory),
		TEST(nobody),
		TEST(leaves_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
