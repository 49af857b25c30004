/* SPDX-License-Identifier: MIT */
/* Leaked tasks, sent to whoever started the program to know of them. */
#ifndef STRAND_LEAKS_SEND_H
#define STRAND_LEAKS_SEND_H

/*
 * Search, and send what is leaked to the Unix socket of that path, as abi.h says; then wait until
 * it is closed, half a minute at most. Whatever fails, the program ends as it would have.
 * Context: a task.
 */
void leaks_send(const char *path);

#endif
