/* SPDX-License-Identifier: MIT */
/* The exported descriptor and the semaphore; the note and the probes are in probes_ARCH.S. */
#include "strand/probes.h"

#include <stddef.h>
#include <strand.h>

_Static_assert(sizeof(struct strand_rec_spawn) == 64, "64-byte class");
_Static_assert(sizeof(struct strand_rec_exit) == 64, "64-byte class");
_Static_assert(sizeof(struct strand_rec_park) == 128, "64-byte class");
_Static_assert(offsetof(struct strand_rec_park_batch, park) == 64, "64-byte class");
_Static_assert(sizeof(struct strand_rec_unpark) == 64, "64-byte class");
_Static_assert(sizeof(struct strand_rec_chan) == 64, "64-byte class");
_Static_assert(sizeof(struct strand_rec_scan_done) == 64, "64-byte class");
_Static_assert(sizeof(struct strand_command) == 64, "atomic in a pipe");
_Static_assert(sizeof(struct strand_report_task) == 64, "64-byte class");
/* probes.inc spells these out. */
_Static_assert(sizeof(struct strand_note) == 160, "the note in probes.inc");
_Static_assert(STRAND_ABI_MAJOR == 1 && STRAND_ABI_MINOR == 1, "the note in probes.inc");

/* In .probes, where tools look for semaphores, and in file-backed memory, where uprobes need it. */
volatile unsigned short strand_probe_semaphore __attribute__((section(".probes"))) = 0;

struct strand_descriptor strand_descriptor __attribute__((section(".data"))) = {
	.magic = STRAND_DESCRIPTOR_MAGIC,
	.abi_major = STRAND_ABI_MAJOR,
	.abi_minor = STRAND_ABI_MINOR,
	.size = sizeof(struct strand_descriptor),
	.control_fd = -1,
	.build = "strand " STRAND_VERSION,
};
