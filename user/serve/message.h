/* SPDX-License-Identifier: MIT */
/*
 * Messages between the front and the server: packets of a SOCK_SEQPACKET socket, both ways.
 * Both ends are the same program, so structures travel as they are.
 */
#ifndef STRANDED_SERVE_MESSAGE_H
#define STRANDED_SERVE_MESSAGE_H

#include <stddef.h>
#include <sys/types.h>

#include "serve/question.h"

#define MESSAGE_TEXT_MAX 128

struct request {
	uint64_t id; /* chosen by the front, given back in the reply */
	struct question question;
};

struct reply { /* with a descriptor if the status is 200: the document, a sealed memfd */
	uint64_t id;
	uint32_t status;              /* of HTTP */
	uint32_t retry_after_seconds; /* 0: not said */
	char text
		[MESSAGE_TEXT_MAX]; /* of an error, for people; never a target's or client's words */
};

/*
 * Neither waits. message_send() takes fd -1 for none.
 * Return 0, -EAGAIN, -EPIPE at the end of the other side, -EBADMSG for one of another size
 * (and drop it), or -errno. A descriptor that was received belongs to the caller; -1: none.
 */
int message_send(int socket, const void *message, size_t size, int fd);
int message_receive(int socket, void *ret_message, size_t size, int *ret_fd);

#endif
