/* SPDX-License-Identifier: MIT */
/*
 * Names of this process's own functions and variables, static ones included: the dynamic linker
 * knows those of .dynsym only, and nothing of a static program.
 */
#ifndef STRAND_SYMBOLS_H
#define STRAND_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYMBOL_NAME_MAX 128 /* longer names are cut */

struct symbol {
	char name[SYMBOL_NAME_MAX]; /* "": not known */
	const char *module;         /* path, "??": in none; valid until symbols_free() */
	uintptr_t offset;           /* from the symbol, or from the start of the module */
};

/* The tables of the module that was asked for last. NULL is allowed: nothing is known then. */
struct symbols;

/* Returns NULL if there is no memory. */
struct symbols *symbols_new(void);
void symbols_free(struct symbols *s);

/* What is at the address? Not in signal handlers. */
void symbols_find(struct symbols *s, uintptr_t address, struct symbol *ret_symbol);

#endif
