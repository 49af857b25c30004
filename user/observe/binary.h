/* SPDX-License-Identifier: MIT */
/*
 * The binaries that contain the runtime, each known once, whoever maps it.
 */
#ifndef STRANDED_OBSERVE_BINARY_H
#define STRANDED_OBSERVE_BINARY_H

#include "observe/target.h"

/*
 * binary_of_file - the binary that an O_PATH descriptor names.
 * Returns it, on the list and without users if it is new; its `error` says whether it can be
 * observed. NULL: there is no runtime in it, or it could not be looked at.
 */
struct binary *binary_of_file(struct discovery *d, int path_fd);

/* Take it off the list and free it. */
void binary_forget(struct discovery *d, struct binary *b);

void binary_free(struct binary *b);

#endif
