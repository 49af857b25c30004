/* SPDX-License-Identifier: MIT */
/*
 * The probe sites in the child of a fork.
 *
 * Linux 6.18 turns a probed five-byte nop into a call of a trampoline, in a mapping that fork()
 * does not copy (changed by "uprobes/x86: Allow to copy uprobe trampolines on fork"). In the child
 * of an observed process that call leads nowhere: the first probe would kill it by SIGSEGV.
 *
 * The cure: drop the page, so that it is the file's again, with nops. That alone would leave
 * the child unobserved. The kernel puts its breakpoints back where a mapping changes, so it is
 * made to change: the page is left out of core files for a moment. It counts the semaphore up
 * as it does so; if it does not, the probes are silent, which is harmless, too.
 */
#include "strand/probes.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "strand/memory.h"
#include "strand/sanitizers.h"

bool strand_probes_deadly;

#if defined(__x86_64__)

#define CALL 0xe8 /* with an offset of four bytes */

static const volatile unsigned char *site_of(size_t probe)
{
	struct strand_note note;

	memcpy(&note, &strand_probe_note, sizeof(note)); /* notes are aligned to four bytes only */
	return (const volatile unsigned char *)&strand_probe_note + note.probe[probe];
}

static uintptr_t page_of(uintptr_t address)
{
	return address & ~(uintptr_t)(memory_page_size() - 1);
}

static bool leads_nowhere(const volatile unsigned char *site)
{
	uint32_t offset = 0;
	unsigned char resident;

	if (site[0] != CALL)
		return false;
	for (int i = 3; i >= 0; i--)
		offset = offset << 8 | site[1 + i];

	uintptr_t target = (uintptr_t)site + 5 + (uintptr_t)(intptr_t)(int32_t)offset;

	return mincore((void *)page_of(target), memory_page_size(), &resident) < 0 &&
	       errno == ENOMEM;
}

static bool any_leads_nowhere(void)
{
	for (size_t i = 0; i < STRAND_PROBE_COUNT; i++) {
		if (leads_nowhere(site_of(i)))
			return true;
	}
	return false;
}

static void make_sites_anew(void)
{
	char *first = (char *)page_of((uintptr_t)site_of(0));
	char *end =
		(char *)page_of((uintptr_t)site_of(STRAND_PROBE_COUNT - 1)) + memory_page_size();
	size_t size = (size_t)(end - first);

	if (madvise(first, size, MADV_DONTNEED) < 0)
		return;
	strand_probe_semaphore = 0;
	madvise(first, size, MADV_DONTDUMP);
	madvise(first, size, MADV_DODUMP);
}

static void after_fork(void)
{
	int saved_errno = errno;

	if (any_leads_nowhere())
		make_sites_anew();
	if (any_leads_nowhere())
		strand_probes_deadly = true;
	errno = saved_errno;
}

#else

static void after_fork(void)
{
}

#endif

/* Before the program's own constructors: they may make channels, and fork. */
static __attribute__((constructor(101))) void begin(void)
{
	strand_probes_deadly = runs_on_valgrind();
	pthread_atfork(NULL, NULL, after_fork);
}
