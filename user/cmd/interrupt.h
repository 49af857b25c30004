/* SPDX-License-Identifier: MIT */
/* SIGINT and SIGTERM, turned into an orderly end. */
#ifndef STRANDED_CMD_INTERRUPT_H
#define STRANDED_CMD_INTERRUPT_H

/* From now on the first SIGINT or SIGTERM is noted; a second one kills as usual. */
void interrupt_install(void);
/* The signal that came, 0: none. */
int interrupt_signal(void);

#endif
