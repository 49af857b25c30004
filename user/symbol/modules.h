/* SPDX-License-Identifier: MIT */
/*
 * The binaries that the sandbox has open, one for each file identity.
 */
#ifndef STRANDED_SYMBOL_MODULES_H
#define STRANDED_SYMBOL_MODULES_H

#include "symbol/fetch.h"
#include "symbol/sandbox.h"

#define MODULES_IDLE_MAX    64 /* kept open though no process maps them: programs come back */
#define MODULES_STRIKES_MAX 2  /* deaths of a sandbox while it read this one; then never again */

struct module {
	struct fetch_identity identity;
	uint32_t id;         /* index in modules.slots */
	uint64_t number;     /* never given twice */
	uint64_t generation; /* of the sandbox that was given the file; 0: none */
	int error;           /* what it said of the file */
	unsigned users, strikes;
	uint64_t released; /* when users became 0: a count of releases */
};

struct modules {
	struct module **slots; /* by id; NULL: free */
	uint32_t room;
	uint64_t numbers, releases;
};

void modules_done(struct modules *m);

/* The module of this identity, new if need be, with one more user. NULL: no memory or too many. */
struct module *modules_acquire(struct modules *m, const struct fetch_identity *identity);
void modules_release(struct modules *m, struct sandbox *sandbox, struct module *module);

/* Should the sandbox be given the file? */
bool module_is_wanted(const struct module *module, const struct sandbox *sandbox);
/* Has this sandbox opened it? */
bool module_is_open(const struct module *module, const struct sandbox *sandbox);

/* The sandbox died reading this one. */
void modules_strike(struct modules *m, uint32_t id);

#endif
