/* SPDX-License-Identifier: MIT */
/*
 * Protocol buffers, the two wire types that profile.proto needs: varints and byte strings.
 *
 * A buffer that could not grow stays `failed`, so that only the end has to be checked. Fields of
 * value 0 are left out, as proto3 does, but for elements of repeated fields.
 */
#ifndef STRANDED_VIEW_PROTOBUF_H
#define STRANDED_VIEW_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct protobuf { /* zeroed: empty */
	unsigned char *data;
	size_t size, room;
	bool failed;
};

void protobuf_done(struct protobuf *b);
void protobuf_clear(struct protobuf *b); /* empty again, the memory kept */

/* A varint without its field: an element of a packed field. */
void protobuf_add_varint(struct protobuf *b, uint64_t value);
void protobuf_add_number(struct protobuf *b, unsigned field, uint64_t value);
void protobuf_add_bytes(struct protobuf *b, unsigned field, const void *bytes, size_t size);
/* Fields that were put together in another buffer. */
void protobuf_add_fields(struct protobuf *b, const struct protobuf *from);
/* A message or a packed field that was put together in another buffer, which is cleared. */
void protobuf_add_buffer(struct protobuf *b, unsigned field, struct protobuf *from);

#endif
