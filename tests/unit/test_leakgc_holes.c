/* SPDX-License-Identifier: MIT */
/*
 * Each way to get a false positive, with its treatment and without it. In every
 * scene task 0 is not leaked; the search must see that, or say that it cannot
 * tell, and must be wrong when the treatment is off.
 */
#include "leakgc_scene.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/futex.h>
#include <linux/io_uring.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define HEAP_BYTES 256

static unsigned char *heap_bytes; /* an application's memory on the heap */
static uintptr_t page;            /* a mapping of the application */

#define PAGE_SIZE 4096

static void map_page(int flags)
{
	page = (uintptr_t)mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1,
			       0);
	assert_ptr_not_equal((void *)page, MAP_FAILED);
}

static void on_page(void)
{
	scene_put(page + 64, scene_object(0));
}

/* ---- note A, rows 1 to 4: what refers to an object without pointing at it ------- */

/* The heap points into the stack of task 1, which holds the object of task 0. */
static void heap_to_stack_to_object(void)
{
	scene_put(scene_sp(1) + 512, scene_object(0));
	scene_put((uintptr_t)heap_bytes, scene_sp(1) + 256);
}

static void test_pointer_into_stack(void **state)
{
	(void)state;
	scene_add_task(1, -1);
	scene_expect_hole(heap_to_stack_to_object, LEAKGC_WITHOUT_STACK_TARGETS, 0);
}

static void test_static_object(void **state)
{
	(void)state;
	scene.objects[0].is_static = true;
	scene_expect_hole(NULL, LEAKGC_WITHOUT_CONTAINMENT, 0);
}

static void test_object_on_live_stack(void **state)
{
	(void)state;
	scene_add_task(1, -1);
	scene.tasks[1].live = true;
	scene.objects[0].on_stack_of = 1;
	scene_expect_hole(NULL, LEAKGC_WITHOUT_CONTAINMENT, 0);
	scene.tasks[1].live = false; /* and with a holder that nothing wakes: leaked */
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LEAKED);
}

static void one_past_the_end(void)
{
	scene_put((uintptr_t)heap_bytes, scene_object(0) + SCENE_OBJECT);
}

static void test_one_past_the_end(void **state)
{
	(void)state;
	scene_expect_hole(one_past_the_end, LEAKGC_WITHOUT_PADDING, 0);
}

/* Row 28: the runtime is just making it ready. */
static void test_object_in_motion(void **state)
{
	(void)state;
	scene.objects[0].live = true;
	scene_expect_hole(NULL, LEAKGC_WITHOUT_LIVE_OBJECTS, 0);
}

/* ---- row 5: registers -------------------------------------------------------------- */

static _Atomic int holder_ready; /* 1: the pointer is where it belongs */
static int holder_leave;         /* futex */
static uintptr_t holder_pointer; /* complemented; cleared before it counts */
static bool holder_on_altstack;

enum holding { IN_GENERAL_REGISTER, IN_XMM, IN_YMM_HIGH };

static enum holding holding;

#if defined(__x86_64__)

/*
 * Load the pointer into one register, clear every other copy, and wait without
 * ever storing it: the stack of this thread holds nothing.
 */
static void hold_in_general_register(void)
{
	__asm__ volatile("mov (%[from]), %%r12\n\t"
			 "not %%r12\n\t"
			 "movq $0, (%[from])\n\t"
			 "movl $1, (%[ready])\n"
			 "1:\n\t"
			 "mov %[leave], %%rdi\n\t"
			 "xor %%esi, %%esi\n\t"
			 "xor %%edx, %%edx\n\t"
			 "xor %%r10d, %%r10d\n\t"
			 "mov %[futex], %%eax\n\t"
			 "syscall\n\t"
			 "cmpl $0, (%[leave])\n\t"
			 "je 1b\n\t"
			 "xor %%r12d, %%r12d\n\t"
			 :
			 : [from] "r"(&holder_pointer), [ready] "r"(&holder_ready),
			   [leave] "b"(&holder_leave), [futex] "i"(SYS_futex)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "r12", "memory", "cc");
}

#define WAIT_WITH_VECTOR          \
	"movq $0, (%[from])\n\t"  \
	"xor %%r12d, %%r12d\n\t"  \
	"movl $1, (%[ready])\n"   \
	"1:\n\t"                  \
	"mov %[leave], %%rdi\n\t" \
	"xor %%esi, %%esi\n\t"    \
	"xor %%edx, %%edx\n\t"    \
	"xor %%r10d, %%r10d\n\t"  \
	"mov %[futex], %%eax\n\t" \
	"syscall\n\t"             \
	"cmpl $0, (%[leave])\n\t" \
	"je 1b\n\t"               \
	"pxor %%xmm15, %%xmm15\n\t"

#define VECTOR_OPERANDS                                                                        \
	:                                                                                          \
	: [from] "r"(&holder_pointer), [ready] "r"(&holder_ready), [leave] "b"(&holder_leave),     \
	  [futex] "i"(SYS_futex)                                                                   \
	: "rax", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "r12", "xmm14", "xmm15", "memory",   \
	  "cc"

static void hold_in_xmm(void)
{
	__asm__ volatile("mov (%[from]), %%r12\n\t"
			 "not %%r12\n\t"
			 "movq %%r12, %%xmm15\n\t" WAIT_WITH_VECTOR VECTOR_OPERANDS);
}

static void hold_in_ymm_high(void)
{
	__asm__ volatile(
		"mov (%[from]), %%r12\n\t"
		"not %%r12\n\t"
		"vmovq %%r12, %%xmm15\n\t"
		"vinsertf128 $1, %%xmm15, %%ymm15, %%ymm15\n\t"
		"vpxor %%xmm14, %%xmm14, %%xmm14\n\t"
		"vblendps $0x0f, %%ymm14, %%ymm15, %%ymm15\n\t" WAIT_WITH_VECTOR VECTOR_OPERANDS);
}

static void hold(void)
{
	switch (holding) {
	case IN_GENERAL_REGISTER:
		hold_in_general_register();
		break;
	case IN_XMM:
		hold_in_xmm();
		break;
	case IN_YMM_HIGH:
		hold_in_ymm_high();
		break;
	}
}

static void *holder(void *unused)
{
	stack_t alternate = {.ss_sp = (void *)(scene.base + SCENE_ALTSTACK),
			     .ss_size = SCENE_ALT_SIZE};
	stack_t none = {.ss_flags = SS_DISABLE}, before;

	/* Where the runtime, too, has it: in masked memory. */
	sigaltstack(holder_on_altstack ? &alternate : &none, &before);
	hold();
	sigaltstack(&before, NULL);
	return unused;
}

/* On a fresh stack: an old one still has the registers of the last stop in its dead part. */
#define HOLDER_STACK (256u << 10)

struct holder {
	pthread_t thread;
	void *stack;
};

static struct holder start_holder(void *(*body)(void *))
{
	struct holder h = {.stack = mmap(NULL, HOLDER_STACK, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
	pthread_attr_t attributes;

	assert_ptr_not_equal(h.stack, MAP_FAILED);
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, h.stack, HOLDER_STACK);
	atomic_store(&holder_ready, 0);
	holder_leave = 0;
	holder_pointer = ~scene_object(0); /* complemented, this word points nowhere */
	assert_int_equal(pthread_create(&h.thread, &attributes, body, NULL), 0);
	pthread_attr_destroy(&attributes);
	while (!atomic_load(&holder_ready))
		sched_yield();
	return h;
}

static void end_holder(struct holder h)
{
	__atomic_store_n(&holder_leave, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &holder_leave, FUTEX_WAKE, 1, NULL, NULL, 0);
	pthread_join(h.thread, NULL);
	munmap(h.stack, HOLDER_STACK);
}

static void check_registers(enum holding where, bool on_altstack)
{
	struct holder h;

	holding = where;
	holder_on_altstack = on_altstack;
	h = start_holder(holder);
	scene_expect_hole(NULL, LEAKGC_WITHOUT_REGISTERS, 0);
	end_holder(h);
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LEAKED);
}

static void test_general_register(void **state)
{
	(void)state;
	check_registers(IN_GENERAL_REGISTER, false);
}

static void test_xmm_register(void **state)
{
	(void)state;
	check_registers(IN_XMM, false);
	check_registers(IN_XMM, true);
}

static void test_ymm_register(void **state)
{
	(void)state;
	if (!__builtin_cpu_supports("avx"))
		skip();
	check_registers(IN_YMM_HIGH, false);
	check_registers(IN_YMM_HIGH, true);
}

/* ---- row 7: a thread that does not stop ---------------------------------------------- */

static void *deaf_holder(void *unused)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	hold();
	return unused;
}

static void test_thread_not_stopped(void **state)
{
	struct holder h;

	(void)state;
	holding = IN_GENERAL_REGISTER;
	scene.limits.stop_ns = 30000000;
	h = start_holder(deaf_holder);
	scene_expect_hole(NULL, LEAKGC_WITHOUT_STOP_PROOF, STRAND_CAUSE_THREAD_NOT_STOPPED);
	end_holder(h);
	scene_reset();
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LEAKED);
}

#endif

#if defined(__x86_64__) && defined(__GLIBC__)
/* ---- row 10: what setjmp() hides -------------------------------------------------- */

/* As a program's own switch of contexts would: rbp is the only pointer, and only in a jmp_buf. */
static void in_jmp_buf(void)
{
	uintptr_t hidden = ~scene_object(0);

	__asm__ volatile("push %%rbp\n\t"
			 "mov %%rsp, %%rbx\n\t"
			 "sub $128, %%rsp\n\t"
			 "and $-16, %%rsp\n\t"
			 "mov %%rax, %%rbp\n\t"
			 "not %%rbp\n\t"
			 "call _setjmp@PLT\n\t"
			 "mov %%rbx, %%rsp\n\t"
			 "pop %%rbp\n\t"
			 : "+a"(hidden)
			 : "D"(heap_bytes)
			 : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
}

static void test_jmp_buf(void **state)
{
	(void)state;
	scene_expect_hole(in_jmp_buf, LEAKGC_WITHOUT_MANGLED, 0);
}
#endif

/* ---- rows 11 and 12: pointers that are not plain words --------------------------------- */

static void tagged_pointer(void)
{
	scene_put((uintptr_t)heap_bytes, scene_object(0) | 0xabcdULL << 48 | 3);
}

static void test_tagged_pointer(void **state)
{
	(void)state;
	scene_expect_hole(tagged_pointer, LEAKGC_WITHOUT_TAG_MASK, 0);
}

static void packed_by_four(void)
{
	scene_put((uintptr_t)heap_bytes + 4, scene_object(0));
}

static void packed_by_one(void)
{
	scene_put((uintptr_t)heap_bytes + 13, scene_object(0));
}

static void across_pages(void)
{
	scene_put(page + PAGE_SIZE - 3, scene_object(0));
}

static void test_unaligned_pointer(void **state)
{
	(void)state;
	scene_expect_hole(packed_by_four, LEAKGC_WITHOUT_UNALIGNED, 0);
	memset(heap_bytes, 0, HEAP_BYTES);
	scene_expect_hole(packed_by_one, LEAKGC_WITHOUT_UNALIGNED, 0);
	memset(heap_bytes, 0, HEAP_BYTES);
	page = (uintptr_t)mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect((void *)page, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC); /* two mappings */
	scene_expect_hole(across_pages, LEAKGC_WITHOUT_UNALIGNED, 0);
	munmap((void *)page, 2 * PAGE_SIZE);
}

static size_t offset;

static void at_offset(void)
{
	memset((void *)page, 0, PAGE_SIZE);
	scene_put(page + offset, scene_object(0) + SCENE_OBJECT / 2);
}

/* Words are rejected in blocks of 64 bytes: no place in a block may be overlooked. */
static void test_every_offset(void **state)
{
	(void)state;
	map_page(MAP_PRIVATE);
	for (offset = 0; offset < 140; offset++)
		scene_expect(scene_run_in_place(at_offset, 0), 0, STRAND_VERDICT_LIVE);
	for (offset = PAGE_SIZE - 140; offset <= PAGE_SIZE - 8; offset++)
		scene_expect(scene_run_in_place(at_offset, 0), 0, STRAND_VERDICT_LIVE);
	munmap((void *)page, PAGE_SIZE);
}

/* The reads are done in pieces of 256 KiB; a pointer may lie across two of them. */
static void across_chunks(void)
{
	scene_put(page + LEAKGC_CHUNK - 4, scene_object(0));
}

static void across_chunks_by_one(void)
{
	scene_put(page + LEAKGC_CHUNK - 5, scene_object(0));
}

static void test_pointer_across_chunks(void **state)
{
	size_t size = 2 * LEAKGC_CHUNK + PAGE_SIZE;

	(void)state;
	for (int by_one = 0; by_one < 2; by_one++) {
		page = (uintptr_t)mmap(NULL, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		memset((void *)page, 1, size);
		scene_expect_hole(by_one ? across_chunks_by_one : across_chunks,
				  LEAKGC_WITHOUT_UNALIGNED, 0);
		munmap((void *)page, size);
	}
}

/* ---- rows 15 to 18: the kernel's hands --------------------------------------------------- */

static int descriptor;
static int kept[2];

static void into_epoll(void)
{
	struct epoll_event event = {.events = EPOLLIN};

	event.data.u64 = scene_object(0);
	epoll_ctl(descriptor, EPOLL_CTL_MOD, kept[0], &event);
	event.data.u64 = 0;
}

static void test_epoll_data(void **state)
{
	struct epoll_event event = {.events = EPOLLIN};

	(void)state;
	assert_int_equal(pipe(kept), 0);
	descriptor = epoll_create1(EPOLL_CLOEXEC);
	assert_int_equal(epoll_ctl(descriptor, EPOLL_CTL_ADD, kept[0], &event), 0);
	scene_expect_hole(into_epoll, LEAKGC_WITHOUT_KERNEL_WORDS, 0);
	close(descriptor);
	close(kept[0]);
	close(kept[1]);
}

static void into_eventfd(void)
{
	uint64_t count, word = scene_object(0);

	if (read(descriptor, &count, sizeof(count)) < 0 ||
	    write(descriptor, &word, sizeof(word)) < 0)
		abort();
}

static void test_eventfd_count(void **state)
{
	(void)state;
	descriptor = eventfd(1, EFD_CLOEXEC);
	scene_expect_hole(into_eventfd, LEAKGC_WITHOUT_KERNEL_WORDS, 0);
	close(descriptor);
}

static void into_pipe(void)
{
	uintptr_t word = scene_object(0);

	if (write(kept[1], &word, sizeof(word)) < 0)
		abort();
}

static void test_pipe(void **state)
{
	(void)state;
	assert_int_equal(pipe(kept), 0);
	scene_expect_hole(into_pipe, LEAKGC_WITHOUT_PIPES, STRAND_CAUSE_KERNEL_PIPE);
	close(kept[0]); /* nobody in this process can read it any more */
	signal(SIGPIPE, SIG_IGN);
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LEAKED);
	close(kept[1]);
}

static void test_local_socket(void **state)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, types[i], 0, kept), 0);
		scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LEAKED);
		scene_expect_hole(into_pipe, LEAKGC_WITHOUT_PIPES, STRAND_CAUSE_KERNEL_PIPE);
		close(kept[0]);
		close(kept[1]);
	}
}

/* A datagram of no bytes in front: FIONREAD says 0. */
static void test_empty_datagram_first(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, kept), 0);
	assert_int_equal(send(kept[1], "", 0, 0), 0);
	scene_expect_hole(into_pipe, LEAKGC_WITHOUT_PIPES, STRAND_CAUSE_KERNEL_PIPE);
	close(kept[0]);
	close(kept[1]);
}

static timer_t timer;

static void into_timer(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};

	event.sigev_value.sival_ptr = (void *)scene_object(0);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		abort();
}

static void test_timer(void **state)
{
	(void)state;
	scene_expect(scene_run(into_timer, 0), 0, STRAND_VERDICT_LIVE);
	scene_expect(scene_run(NULL, LEAKGC_WITHOUT_KERNEL_WORDS), 0, STRAND_VERDICT_LEAKED);
	timer_delete(timer);
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LEAKED);
}

static void into_signal(void)
{
	union sigval value = {.sival_ptr = (void *)scene_object(0)};

	if (sigqueue(getpid(), SIGRTMIN, value) < 0)
		abort();
}

static void test_queued_signal(void **state)
{
	struct timespec now = {0, 0};
	sigset_t one, before;

	(void)state;
	sigemptyset(&one);
	sigaddset(&one, SIGRTMIN);
	pthread_sigmask(SIG_BLOCK, &one, &before); /* the searching thread inherits it */
	scene_expect_hole(into_signal, LEAKGC_WITHOUT_PENDING_SIGNALS, STRAND_CAUSE_KERNEL_SIGNAL);
	while (sigtimedwait(&one, NULL, &now) > 0)
		continue;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static mqd_t queue;

static void into_queue(void)
{
	uintptr_t word = scene_object(0);

	if (mq_send(queue, (char *)&word, sizeof(word), 0) < 0)
		abort();
}

static void test_message_queue(void **state)
{
	struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "/test_leakgc.%d", getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	if (queue < 0) /* a machine without them has no such hole */
		skip();
	mq_unlink(name);
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LEAKED);
	scene_expect_hole(into_queue, LEAKGC_WITHOUT_QUEUES, STRAND_CAUSE_KERNEL_MESSAGE_QUEUE);
	mq_close(queue);
}

static void test_io_uring(void **state)
{
	struct io_uring_params parameters;
	int ring;

	(void)state;
	memset(&parameters, 0, sizeof(parameters));
	ring = (int)syscall(SYS_io_uring_setup, 4, &parameters);
	if (ring < 0)
		skip();
	scene_expect_hole(NULL, LEAKGC_WITHOUT_RINGS, STRAND_CAUSE_KERNEL_IO_URING);
	close(ring);
}

/* ---- rows 19 and 20: memory that the snapshot does not hold -------------------------------- */

static void test_shared_memory(void **state)
{
	(void)state;
	map_page(MAP_SHARED);
	scene_expect_hole(on_page, LEAKGC_WITHOUT_SHARED_COPY, 0);
	scene.limits.shared_copy_max = PAGE_SIZE - 1;
	scene_expect_cause(scene_run(on_page, 0), STRAND_CAUSE_SHARED_MEMORY);
	munmap((void *)page, PAGE_SIZE);
}

static void on_unmapped_page(void)
{
	on_page();
	madvise((void *)page, PAGE_SIZE, MADV_DONTNEED);
}

/* In the page cache, and in no page table of this process any more. */
static void test_shared_memory_unmapped_pages(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, PAGE_SIZE), 0);
	page = (uintptr_t)mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	scene_expect_hole(on_unmapped_page, LEAKGC_WITHOUT_SHARED_COPY, 0);
	munmap((void *)page, PAGE_SIZE);
	close(fd);
}

static void test_not_inherited(void **state)
{
	static const int advice[] = {MADV_DONTFORK, MADV_WIPEONFORK};

	(void)state;
	for (int i = 0; i < 2; i++) {
		map_page(MAP_PRIVATE);
		madvise((void *)page, PAGE_SIZE, advice[i]);
		if (scene_method == LEAKGC_METHOD_TRACKING) /* it is simply there */
			scene_expect(scene_run(on_page, 0), 0, STRAND_VERDICT_LIVE);
		else
			scene_expect_hole(on_page, LEAKGC_WITHOUT_INHERITANCE,
					  STRAND_CAUSE_MEMORY_NOT_INHERITED);
		munmap((void *)page, PAGE_SIZE);
	}
}

/* ---- rows 21 to 23: memory that is hard to read ---------------------------------------------- */

static void on_protected_page(void)
{
	on_page();
	mprotect((void *)page, PAGE_SIZE, PROT_NONE);
}

static void test_protected_memory(void **state)
{
	(void)state;
	map_page(MAP_PRIVATE);
	scene_expect(scene_run(on_protected_page, 0), 0, STRAND_VERDICT_LIVE);
	scene_expect(scene_run(NULL, LEAKGC_WITHOUT_PROTECTED), 0, STRAND_VERDICT_LEAKED);
	munmap((void *)page, PAGE_SIZE);
}

/* 256 GB of address space, one page of memory: found, and nothing else is read. */
static void test_sparse_mapping(void **state)
{
	size_t size = 256ULL << 30;
	uintptr_t start = (uintptr_t)mmap(NULL, size, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct leakgc_result r;

	(void)state;
	assert_ptr_not_equal((void *)start, MAP_FAILED);
	page = start + size / 2;
	r = scene_run(NULL, 0);
	assert_in_range(r.scanned_bytes, 1, 1ULL << 30);
	scene_expect(r, 0, STRAND_VERDICT_LEAKED);
	scene_expect(scene_run(on_page, 0), 0, STRAND_VERDICT_LIVE);
	munmap((void *)start, size);
}

/* A guard page looks swapped out to the page tables, and cannot be read. */
static void test_guard_pages(void **state)
{
	(void)state;
	page = (uintptr_t)mmap(NULL, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset((void *)page, 1, 4 * PAGE_SIZE);
	if (madvise((void *)(page + PAGE_SIZE), PAGE_SIZE, MADV_GUARD_INSTALL) < 0)
		skip();
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LEAKED);
	page += 2 * PAGE_SIZE;
	scene_expect(scene_run(on_page, 0), 0, STRAND_VERDICT_LIVE);
	munmap((void *)(page - 2 * PAGE_SIZE), 4 * PAGE_SIZE);
}

/* Row 24: what was written to a private mapping of a file is the process's own. */
static void test_private_file_mapping(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	page = (uintptr_t)mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal((void *)page, MAP_FAILED);
	scene_expect(scene_run(NULL, 0), 0, STRAND_VERDICT_LEAKED);
	scene_expect(scene_run(on_page, 0), 0, STRAND_VERDICT_LIVE);
	munmap((void *)page, PAGE_SIZE);
	close(fd);
}

static int setup(void **state)
{
	memset(heap_bytes, 0, HEAP_BYTES);
	return scene_setup(state);
}

#define HOLE(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOLE(test_pointer_into_stack),
		HOLE(test_static_object),
		HOLE(test_object_on_live_stack),
		HOLE(test_one_past_the_end),
		HOLE(test_object_in_motion),
#if defined(__x86_64__)
		HOLE(test_general_register),
		HOLE(test_xmm_register),
		HOLE(test_ymm_register),
		HOLE(test_thread_not_stopped),
#endif
#if defined(__x86_64__) && defined(__GLIBC__)
		HOLE(test_jmp_buf),
#endif
		HOLE(test_tagged_pointer),
		HOLE(test_unaligned_pointer),
		HOLE(test_every_offset),
		HOLE(test_pointer_across_chunks),
		HOLE(test_epoll_data),
		HOLE(test_eventfd_count),
		HOLE(test_pipe),
		HOLE(test_local_socket),
		HOLE(test_empty_datagram_first),
		HOLE(test_timer),
		HOLE(test_queued_signal),
		HOLE(test_message_queue),
		HOLE(test_io_uring),
		HOLE(test_shared_memory),
		HOLE(test_shared_memory_unmapped_pages),
		HOLE(test_not_inherited),
		HOLE(test_protected_memory),
		HOLE(test_sparse_mapping),
		HOLE(test_guard_pages),
		HOLE(test_private_file_mapping),
	};

	heap_bytes = calloc(1, HEAP_BYTES);
	if (!heap_bytes)
		return 1;
	return SCENE_RUN_BOTH(tests);
}
