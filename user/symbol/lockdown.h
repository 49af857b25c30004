/* SPDX-License-Identifier: MIT */
/*
 * Give up everything that reading ELF files does not need.
 */
#ifndef STRANDED_SYMBOL_LOCKDOWN_H
#define STRANDED_SYMBOL_LOCKDOWN_H

/* Where separate debug info may be read from; nothing else can be opened afterwards. */
#define LOCKDOWN_DEBUG_DIRECTORY "/usr/lib/debug"

/*
 * lockdown_enter - for good: no user, no capability, no file but the debug directory's, no
 * network, no other process, bounded memory and CPU time. Returns 0 or -errno; after a failure
 * the process must not go on to read what it distrusts.
 */
int lockdown_enter(void);

#endif
