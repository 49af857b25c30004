/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the walk of malloc's chunks: raw bytes, or changes to a sound run.
 *
 *   clang-14 -std=gnu11 -g -O1 -D_GNU_SOURCE -Iinclude -Iuser \
 *       -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
 *       -o fuzz_chunks tests/fuzz/fuzz_chunks.c user/leakgc/chunks.c
 *   ./fuzz_chunks -max_total_time=60 -max_len=4096
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "leakgc/chunks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE 0x10000ff0 /* the run crosses pages */
#define RUN  8192
#define UNIT 16

static unsigned char run[RUN];

static int read_run(void *context, uintptr_t address, void *buffer, size_t length)
{
	(void)context;
	if (address < BASE || address > BASE + RUN || length > BASE + RUN - address)
		abort(); /* I1: nothing outside of the run is ever read */
	memcpy(buffer, run + (address - BASE), length);
	return 0;
}

/* What is promised of a run that was accepted: its blocks lie in it and hold the address. */
static void use(const struct leakgc_chunks *c, struct leakgc_chunk_reader *reader)
{
	for (uintptr_t at = BASE; at < BASE + RUN; at += 8) {
		struct leakgc_chunk block;

		switch (leakgc_chunks_find(c, reader, at, &block)) {
		case LEAKGC_CHUNK_UNKNOWN:
			abort();
		case LEAKGC_CHUNK_FREE:
			break;
		case LEAKGC_CHUNK_IN_USE:
			if (block.lo < BASE + UNIT || block.hi > BASE + RUN || at < block.lo ||
			    at >= block.hi)
				abort();
		}
	}
}

static void walk(enum leakgc_chunks_end ends, uintptr_t top)
{
	static uint16_t first[RUN / 4096 + 2];
	unsigned char window[512];
	struct leakgc_chunk_reader reader = {
		.read = read_run, .window = window, .window_size = sizeof(window)};
	struct leakgc_chunks c = {.lo = BASE,
				  .top = top,
				  .limit = BASE + RUN,
				  .ends = ends,
				  .main_arena = top & UNIT,
				  .first_in_page = first};

	if (leakgc_chunks_pages(&c) > sizeof(first) / sizeof(first[0]))
		abort();
	if (leakgc_chunks_check(&c, &reader) == 0)
		use(&c, &reader);
}

/* Chunks of the sizes that the input says, up to a top that fills the rest. */
static uintptr_t make_sound(const uint8_t *data, size_t size)
{
	size_t at = 0;

	memset(run, 0, sizeof(run));
	for (size_t i = 0; i < size && i < 64; i++) {
		uint64_t length = 32 + (uint64_t)(data[i] % 6) * UNIT, word = length | 1;

		memcpy(run + at + 8, &word, sizeof(word));
		at += length;
	}
	uint64_t top = (RUN - at) | 1;

	memcpy(run + at + 8, &top, sizeof(top));
	return BASE + at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t half = size / 2;
	uintptr_t top = make_sound(data, half);

	for (size_t i = half; i + 4 <= size; i += 4)
		run[(data[i] << 8 | data[i + 1]) % RUN] = data[i + 2];
	walk(LEAKGC_CHUNKS_TOP, top);
	walk(LEAKGC_CHUNKS_FENCE, 0);
	memset(run, 0, sizeof(run));
	memcpy(run, data, size < RUN ? size : RUN);
	walk(LEAKGC_CHUNKS_TOP, BASE + (size & ~(size_t)15) % RUN);
	walk(LEAKGC_CHUNKS_FENCE, 0);
	return 0;
}
