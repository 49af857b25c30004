/* SPDX-License-Identifier: MIT */
/*
 * The engine in a process that may do nothing else: one question, one answer.
 *
 * A question that the sandbox does not answer in time, or dies of, is answered
 * with -EIO; the sandbox is then gone until sandbox_ensure starts another, not
 * before a back-off that doubles.
 */
#ifndef STRANDED_SYMBOL_SANDBOX_H
#define STRANDED_SYMBOL_SANDBOX_H

#include "symbol/engine.h"
#include "symbol/graves.h"

#include <sys/types.h>

struct sandbox {
	pid_t pid;                      /* 0: none is running */
	int socket;                     /* -1: none is running */
	volatile uint32_t *busy_module; /* shared with it */
	uint64_t generation;            /* counts starts: what an earlier one knew is forgotten */
	uint64_t not_before_ns;
	unsigned failures; /* in a row */
	struct graves graves;
};

int sandbox_init(struct sandbox *s); /* starts none yet; returns 0 or -errno */
void sandbox_done(struct sandbox *s);

/* Start one if there is none. Returns 0, -EAGAIN (too soon after a failure) or another -errno. */
int sandbox_ensure(struct sandbox *s);

/*
 * The engine's functions. All return 0, what the engine said, or -EIO. After -EIO, *ret_culprit
 * (if not NULL) is the module that was being read, or ENGINE_NO_MODULE.
 */

/* Modules are opened from the descriptors that wait in this socket, one after the other. */
int sandbox_set_files(struct sandbox *s, int files);
/* Take the next descriptor; module ENGINE_NO_MODULE: and drop it. */
int sandbox_open_module(struct sandbox *s, uint32_t module, const char *name);
int sandbox_close_module(struct sandbox *s, uint32_t module);
int sandbox_set_maps(struct sandbox *s, uint32_t process, const struct engine_map *maps,
		     size_t count);
int sandbox_close_process(struct sandbox *s, uint32_t process);
int sandbox_locate(struct sandbox *s, uint32_t process, uint64_t pc, bool is_return,
		   struct engine_location *ret_location, uint32_t *ret_culprit);
int sandbox_unwind(struct sandbox *s, uint32_t process, const struct engine_registers *registers,
		   const void *bytes, size_t size, struct engine_frames *ret_frames,
		   uint32_t *ret_culprit);

#endif
