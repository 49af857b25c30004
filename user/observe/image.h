/* SPDX-License-Identifier: MIT */
/*
 * What the ELF note of a binary says about the runtime inside it.
 *
 * Parses bytes of a file that a hostile user may have written: bounded reads,
 * checked arithmetic, no library that trusts the file.
 */
#ifndef STRANDED_OBSERVE_IMAGE_H
#define STRANDED_OBSERVE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <strand/abi.h>

struct image {
	unsigned abi_major, abi_minor;
	bool is_shared_library;     /* false: the executable itself */
	uint64_t descriptor_vaddr;  /* as linked: add the load bias */
	uint64_t descriptor_offset; /* the same as an offset in the file */
	uint64_t text_vaddr;        /* of the loaded segment that holds every probe, as linked */
	uint64_t text_offset;       /* the same as an offset in the file */
	uint64_t semaphore_offset;  /* in the file, for the uprobe's ref_ctr_offset */
	uint64_t probe_offset[STRAND_PROBE_COUNT]; /* in the file; 0: the runtime lacks it */
	uint8_t probe_byte[STRAND_PROBE_COUNT];    /* first byte of the probed instruction */
};

/*
 * image_read - find and check the note in an open file.
 * Returns 0, or
 *   -ENOENT           no libstrand in it (also: no ELF file)
 *   -EPROTONOSUPPORT  a note of a major version that we don't know; abi_major/minor are set
 *   -EBADMSG          the note points outside the file's segments or is malformed
 *   -errno            the file cannot be read
 */
int image_read(int fd, struct image *ret_image);

#endif
