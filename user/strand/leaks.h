/* SPDX-License-Identifier: MIT */
/* The bridge from the runtime to the leak search, and the report of its result. */
#ifndef STRAND_LEAKS_H
#define STRAND_LEAKS_H

#include <stdint.h>
#include <strand/abi.h>

struct control;
struct runtime;
struct leakgc_limits;
struct leakgc_result;

/* The signal that stops threads, and how searches are made. Returns 0 or -errno. */
int leaks_init(struct control *c);

/* The limits of a search of this runtime, if nobody wants others. */
void leaks_limits(const struct runtime *rt, struct leakgc_limits *ret_limits);

/* Search, on the control thread; the caller ends ret_result with leakgc_result_done(). */
void leaks_search(struct runtime *rt, const struct leakgc_limits *limits,
		  struct leakgc_result *ret_result);

/* Search as commanded, make the report and fire scan_done. On the control thread. */
void leaks_scan(struct runtime *rt, const struct strand_command *command);

/* Before main's function is called: STRAND_LEAKS=report:PATH is about a program that exits, too. */
void leaks_before_main(void);

/*
 * When main's function has returned: what STRAND_LEAKS asks for. Returns the result, or the
 * wanted status if it was 0 and there are leaks.
 */
int leaks_at_exit(int result);

/* Fire scan_done for a search that is not made. */
void leaks_refuse(uint64_t request, enum strand_search_cause cause);

#endif
