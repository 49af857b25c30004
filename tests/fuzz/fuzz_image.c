/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the reader of the ELF note: raw bytes, or changes to a sound file.
 *
 *   clang-14 -std=gnu11 -g -O1 -D_GNU_SOURCE -Iinclude -Iuser -Itests/unit \
 *       -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
 *       -o fuzz_image tests/fuzz/fuzz_image.c user/observe/image.c
 *   ./fuzz_image -max_total_time=60 -max_len=512
 */
#include <stdlib.h>

#include "observe/image.h"
#include "made_elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is promised of an accepted file: every offset lies in it. */
static void use(const struct image *im, size_t size)
{
	if (im->descriptor_offset + sizeof(struct strand_descriptor) > size ||
	    im->semaphore_offset + sizeof(uint16_t) > size || !im->semaphore_offset)
		abort();
	for (int i = 0; i < STRAND_PROBE_COUNT; i++)
		if (im->probe_offset[i] >= size)
			abort();
	if (!im->probe_offset[STRAND_PROBE_PARK])
		abort();
}

static void read_image(int fd, const void *bytes, size_t size)
{
	struct image im;

	if (ftruncate(fd, 0) || pwrite(fd, bytes, size, 0) != (ssize_t)size)
		abort();
	if (!image_read(fd, &im))
		use(&im, size);
}

/* One change: 2 bytes say where, then a value of 1, 2, 4 or 8 bytes as the first byte says. */
static size_t change(union made_elf *elf, const uint8_t *data)
{
	size_t length = 1u << (data[0] & 3);
	/* Mostly where the headers, the note and the dynamic section are. */
	size_t at = (data[0] >> 2) * 16 + data[1];

	if (data[0] & 0x80)
		at = MADE_DATA + MADE_DYNAMIC + data[1];
	memcpy(elf->bytes + at, data + 2, length);
	return 2 + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	union made_elf elf;

	if (fd < 0)
		fd = made_elf_memfd("", 0);
	if (fd < 0)
		abort();
	read_image(fd, data, size);
	made_elf_init(&elf);
	while (size >= 10) {
		size_t used = change(&elf, data);

		data += used;
		size -= used;
	}
	read_image(fd, &elf, sizeof(elf));
	return 0;
}
