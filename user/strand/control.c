/* SPDX-License-Identifier: MIT */
/* Commands from the observer. */
#include "strand/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "strand/idle.h"
#include "strand/leaks.h"
#include "strand/probes.h"
#include "strand/runtime.h"
#include "strand/sched.h"

/*
 * A search needs few frames; the buffers are elsewhere. But the thread-local variables of all
 * libraries lie on a stack that is given to pthread_create(): ThreadSanitizer has 0.9 MiB of
 * them. What is not touched costs nothing.
 */
#define CONTROL_STACK_SIZE ((size_t)2 << 20)

/*
 * Whoever may open the pipe (the same user) can ask for searches: at most this share of the
 * time goes to them, whatever they ask. The observer itself keeps a minute between searches.
 */
#define SEARCH_MIN_GAP     (100 * STRAND_MILLISECOND)

static void announce_anew(struct runtime *rt, uint64_t threshold_ns)
{
	__atomic_store_n(&strand_descriptor.threshold_ns, threshold_ns, __ATOMIC_RELAXED);
	atomic_fetch_add(&rt->announce_epoch, 1);
	for (unsigned i = 0; i < rt->worker_count; i++)
		idle_kick(rt->workers[i]);
}

static void scan(struct runtime *rt, const struct strand_command *command)
{
	struct control *c = &rt->control;

	if (strand_now() - c->last_search_end < SEARCH_MIN_GAP) {
		__atomic_fetch_add(&strand_descriptor.commands_refused, 1, __ATOMIC_RELAXED);
		leaks_refuse(command->request, STRAND_CAUSE_RATE_LIMIT);
		return;
	}
	leaks_scan(rt, command);
	c->last_search_end = strand_now();
}

static void obey(struct runtime *rt, const struct strand_command *command)
{
	switch (command->type) {
	case STRAND_COMMAND_HELLO:
		announce_anew(rt, command->threshold_ns);
		break;
	case STRAND_COMMAND_SCAN:
		scan(rt, command);
		break;
	case STRAND_COMMAND_CANCEL:
		break; /* the search it names has ended: they are read one after the other */
	default:
		__atomic_fetch_add(&strand_descriptor.commands_refused, 1, __ATOMIC_RELAXED);
	}
}

/* How many bytes of noise precede what may be a command; size: it is all noise. */
static size_t noise_length(const char *bytes, size_t size)
{
	const __u32 magic = STRAND_COMMAND_MAGIC;
	size_t at = 0;

	while (at < size && memcmp(bytes + at, &magic, size - at < 4 ? size - at : 4))
		at++;
	return at;
}

/* A write of a command is atomic: if its end is not in the pipe, there is none. */
static void take_fragment(struct runtime *rt, size_t *size)
{
	int left = 0;

	if (!*size || (ioctl(rt->control.read_fd, FIONREAD, &left) == 0 && left > 0))
		return;
	__atomic_fetch_add(&strand_descriptor.commands_refused, 1, __ATOMIC_RELAXED);
	*size = 0;
}

/*
 * Commands are written whole, but anybody may write anything. What does not begin like a
 * command is skipped, byte by byte, so that noise never puts the commands behind it out of step.
 */
static void take_commands(struct runtime *rt, char *bytes, size_t *size)
{
	size_t noise = noise_length(bytes, *size);
	struct strand_command command;

	if (noise) {
		__atomic_fetch_add(&strand_descriptor.commands_refused, 1, __ATOMIC_RELAXED);
		*size -= noise;
		memmove(bytes, bytes + noise, *size);
	}
	if (*size < sizeof(command)) {
		take_fragment(rt, size);
		return;
	}
	memcpy(&command, bytes, sizeof(command));
	*size = 0;
	if (command.abi_major == STRAND_ABI_MAJOR)
		obey(rt, &command);
	else
		__atomic_fetch_add(&strand_descriptor.commands_refused, 1, __ATOMIC_RELAXED);
}

static void *control_main(void *arg)
{
	struct runtime *rt = arg;
	char bytes[sizeof(struct strand_command)];
	size_t size = 0;

	while (!atomic_load(&rt->stopping)) {
		ssize_t n = read(rt->control.read_fd, bytes + size, sizeof(bytes) - size);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0) {
			size += (size_t)n;
			take_commands(rt, bytes, &size);
		}
		inquiry_serve(rt);
	}
	inquiry_abandon(rt);
	return NULL;
}

static int open_pipe(struct control *c)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	/*
	 * Who may open /proc/PID/fd/N is decided by the kernel's ptrace check. With this mode
	 * an observer that passes it needs no further capability.
	 */
	fchmod(fds[1], 0622);
	fcntl(fds[1], F_SETFL, O_NONBLOCK); /* ours; an observer opens it anew */
	c->read_fd = fds[0];
	c->write_fd = fds[1];
	return 0;
}

static int start_thread(struct runtime *rt)
{
	char *stack = memory_map(&rt->memory, CONTROL_STACK_SIZE);
	pthread_attr_t attr;
	sigset_t all, before;
	int r;

	if (!stack)
		return -ENOMEM;
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, CONTROL_STACK_SIZE);
	sigfillset(&all); /* signals are for the program's own threads */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	r = pthread_create(&rt->control.thread, &attr, control_main, rt);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}

static int start(struct runtime *rt)
{
	struct control *c = &rt->control;
	int r;

	r = leaks_init(c);
	if (r == 0)
		r = open_pipe(c);
	if (r == 0)
		r = start_thread(rt);
	if (r < 0)
		control_forked(rt);
	else
		c->started = true;
	return r;
}

int control_start(struct runtime *rt)
{
	int r = control_need(rt);

	if (r == 0)
		strand_descriptor.control_fd = rt->control.write_fd;
	return r;
}

int control_need(struct runtime *rt)
{
	int r = 0;

	/* A plain thread may ask for a search while the runtime starts, and while it ends. */
	pthread_mutex_lock(&rt->control.starting);
	if (rt->control.ended)
		r = -ENXIO;
	else if (!rt->control.started)
		r = start(rt);
	pthread_mutex_unlock(&rt->control.starting);
	return r;
}

void control_wake(struct runtime *rt)
{
	struct strand_command nothing = {.magic = STRAND_COMMAND_MAGIC,
					 .abi_major = STRAND_ABI_MAJOR,
					 .type = STRAND_COMMAND_CANCEL};
	int saved_errno = errno;

	/* If the pipe is full, the thread is awake. It is never closed while the runtime runs. */
	ssize_t n = write(rt->control.write_fd, &nothing, sizeof(nothing));

	(void)n;
	errno = saved_errno;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void control_forked(struct runtime *rt)
{
	strand_descriptor.control_fd = -1;
	close_fd(&rt->control.read_fd);
	close_fd(&rt->control.write_fd);
	close_fd(&rt->control.report_fd);
	rt->control.started = false;
}

void control_stop(struct runtime *rt)
{
	struct control *c = &rt->control;

	pthread_mutex_lock(&c->starting);
	c->ended = true;
	pthread_mutex_unlock(&c->starting);
	if (!c->started)
		return;
	c->cancel = 1;
	control_wake(rt);
	pthread_join(c->thread, NULL);
	control_forked(rt);
}
