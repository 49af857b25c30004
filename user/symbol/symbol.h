/* SPDX-License-Identifier: MIT */
/*
 * Names and lines for addresses, and the frames of a parked task's stack.
 *
 * Knows ELF, DWARF and unwinding; knows no task, no map of BPF and no model.
 *
 * What a target's files say is read in a sandboxed process, what /proc says of it
 * in short-lived ones; both have deadlines, so no call here waits for a target for
 * more than 7 s, and mostly none at all. One thread at a time.
 */
#ifndef STRANDED_SYMBOL_SYMBOL_H
#define STRANDED_SYMBOL_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct symbol_location {
	char *function; /* NULL: unknown; the innermost of inlined ones */
	uint64_t function_offset;
	char *file; /* NULL: unknown */
	unsigned line;
	char *module; /* path as mapped; NULL: the address is in no mapping */
	uint64_t
		module_offset; /* as linked, as addr2line takes it; in the file, if that is no ELF */
};

void symbol_location_done(struct symbol_location *location);

struct symboliser; /* one for the whole observer; caches by binary */

int symboliser_new(struct symboliser **ret_symboliser);
void symboliser_free(struct symboliser *s);

/* One process as symbol/ needs it: its open /proc/PID directory. */
struct symbol_process;

/* Reads its maps. proc_fd is borrowed and must outlive it. Returns 0 or -errno. */
int symbol_process_new(struct symboliser *s, int proc_fd, pid_t pid,
		       struct symbol_process **ret_process);
void symbol_process_free(struct symbol_process *p);

/*
 * symbol_resolve - what is at pc? For a return address pass is_return: the call before it is named.
 * Unknown parts stay NULL. Returns 0 or -ENOMEM.
 */
int symbol_resolve(struct symbol_process *p, uint64_t pc, bool is_return,
		   struct symbol_location *ret_location);

/* The registers of a frame, and the stack from sp up, as copied from the process. */
struct symbol_stack_copy {
	uint64_t pc, sp, fp;
	const void *bytes; /* of [sp, sp + size) */
	size_t size;
};

/*
 * symbol_unwind - the return addresses from the given frame outwards, pc first.
 * By CFI where the binary has it, by frame pointer elsewhere; ends at an address of 0 or where
 * the copied stack ends. Returns the number of addresses; ret_truncated says the walk was lost.
 */
size_t symbol_unwind(struct symbol_process *p, const struct symbol_stack_copy *stack,
		     uint64_t *ret_pcs, size_t room, bool *ret_truncated);

#endif
