/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the reader of recordings, behind the compression: any bytes.
 *
 *   clang-14 -std=gnu11 -g -O1 -D_GNU_SOURCE -Iinclude -Iuser -fsanitize=fuzzer,address,undefined \
 *       -fno-sanitize-recover=undefined -o fuzz_recording tests/fuzz/fuzz_recording.c \
 *       user/view/recording.c user/model/model.c user/model/sites.c -lz
 *   ./fuzz_recording -max_total_time=60
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "view/recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct recording r = {0};
	struct model_sites sites;
	struct model m, again;
	void *bytes;
	size_t length;

	if (recording_decode(&r, data, size, &m))
		return 0;
	/* What was accepted is a model: it can be grouped, written and read again. */
	if (!model_sites_build(&m, &sites))
		model_sites_done(&sites);
	if (recording_encode(&m, &bytes, &length) || recording_decode(&r, bytes, length, &again))
		abort();
	free(bytes);
	model_done(&again);
	model_done(&m);
	return 0;
}
