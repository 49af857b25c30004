/* SPDX-License-Identifier: MIT */
/* Appends protocol buffer fields to a growing buffer. */
#include "view/protobuf.h"

#include <stdlib.h>
#include <string.h>

#define VARINT_MAX 10
#define ROOM_FIRST 256

enum wire_type { WIRE_VARINT = 0, WIRE_BYTES = 2 };

void protobuf_done(struct protobuf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

void protobuf_clear(struct protobuf *b)
{
	b->size = 0;
}

static bool grow(struct protobuf *b, size_t more)
{
	size_t room = b->room ? b->room : ROOM_FIRST;
	unsigned char *larger;

	if (b->failed)
		return false;
	while (room - b->size < more) {
		if (room > SIZE_MAX / 2) {
			b->failed = true;
			return false;
		}
		room *= 2;
	}
	larger = realloc(b->data, room);
	if (!larger) {
		b->failed = true;
		return false;
	}
	b->data = larger;
	b->room = room;
	return true;
}

static inline bool reserve(struct protobuf *b, size_t more)
{
	return more <= b->room - b->size || grow(b, more);
}

void protobuf_add_varint(struct protobuf *b, uint64_t value)
{
	if (!reserve(b, VARINT_MAX))
		return;
	for (; value >= 0x80; value >>= 7)
		b->data[b->size++] = (unsigned char)(value | 0x80);
	b->data[b->size++] = (unsigned char)value;
}

void protobuf_add_number(struct protobuf *b, unsigned field, uint64_t value)
{
	if (!value)
		return;
	protobuf_add_varint(b, field << 3 | WIRE_VARINT);
	protobuf_add_varint(b, value);
}

static void append(struct protobuf *b, const void *bytes, size_t size)
{
	if (!size || !reserve(b, size))
		return;
	memcpy(b->data + b->size, bytes, size);
	b->size += size;
}

void protobuf_add_bytes(struct protobuf *b, unsigned field, const void *bytes, size_t size)
{
	protobuf_add_varint(b, field << 3 | WIRE_BYTES);
	protobuf_add_varint(b, size);
	append(b, bytes, size);
}

void protobuf_add_fields(struct protobuf *b, const struct protobuf *from)
{
	b->failed |= from->failed;
	append(b, from->data, from->size);
}

void protobuf_add_buffer(struct protobuf *b, unsigned field, struct protobuf *from)
{
	b->failed |= from->failed;
	protobuf_add_bytes(b, field, from->data, from->size);
	protobuf_clear(from);
}
