/* SPDX-License-Identifier: MIT */
/*
 * Messages between the observer and its sandbox: packets of a SOCK_SEQPACKET socket.
 * Both ends are the same program, so structures travel as they are.
 */
#ifndef STRANDED_SYMBOL_WIRE_H
#define STRANDED_SYMBOL_WIRE_H

#include "symbol/engine.h"

enum wire_type {
	WIRE_FILES = 1, /* carries a socket full of descriptors */
	WIRE_OPEN_MODULE,
	WIRE_CLOSE_MODULE,
	WIRE_ADD_MAPS,
	WIRE_CLOSE_PROCESS,
	WIRE_LOCATE,
	WIRE_UNWIND,
};

#define WIRE_MAPS_MAX    2048 /* in one message */
#define WIRE_PAYLOAD_MAX ENGINE_STACK_MAX

struct wire_request {  /* followed by its payload: a name, maps, or the bytes of a stack */
	uint32_t type; /* enum wire_type */
	uint32_t id;   /* of the module or process */
	uint32_t flag; /* maps: restart; locate: is_return */
	uint32_t payload_size;
	struct engine_registers registers; /* locate: pc only */
};

struct wire_reply {
	int32_t result; /* 0 or -errno */
	uint32_t reserved;
	union {
		struct engine_location location;
		struct engine_frames frames;
	};
};

/* The sandbox's side: answers questions until the socket is closed. Does not return. */
_Noreturn void wire_serve(int socket, volatile uint32_t *busy_module);

#endif
