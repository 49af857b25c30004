/* SPDX-License-Identifier: MIT */
/*
 * Models in a file: what was seen can be looked at later, elsewhere and without rights.
 *
 * A file begins with 8 bytes that name it and its version; then come snapshots: two 32-bit
 * little-endian sizes, unpacked and packed, and so many bytes of zlib. A file is hostile input:
 * every size is bounded and every number checked, and a model that was read is as valid as one
 * of an observer.
 */
#ifndef STRANDED_VIEW_RECORDING_H
#define STRANDED_VIEW_RECORDING_H

#include <stdio.h>

#include "model/model.h"

#define RECORDING_VERSION_ROOM 32

struct recording {                            /* a file that is read */
	FILE *in;                             /* borrowed */
	char version[RECORDING_VERSION_ROOM]; /* of the observer that wrote the last snapshot */
};

/* The beginning of a file. Errors are the stream's: ferror(out). */
void recording_begin(FILE *out);

/* One more snapshot. Returns 0, -ENOMEM, or -EFBIG: it is too large. Also see ferror(out). */
int recording_write(FILE *out, const struct model *m);

/* Returns 0; -EIO; -EBADMSG: no recording; -EPROTONOSUPPORT: of another version. */
int recording_open(struct recording *r, FILE *in);

/*
 * recording_read - the next snapshot; the caller ends it with model_done().
 * Its version text is the recording's, until the next one is read.
 * Returns 1; 0: that was all; -EIO; -ENOMEM; -EBADMSG: cut off or malformed.
 */
int recording_read(struct recording *r, struct model *ret_model);

/* The two above without a file: the bytes of one snapshot. For recording.c and its tests. */
int recording_encode(const struct model *m, void **ret_bytes, size_t *ret_size);
int recording_decode(struct recording *r, const void *bytes, size_t size, struct model *ret_model);

#endif
