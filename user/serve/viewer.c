/* SPDX-License-Identifier: MIT */
/* Asks the kernel who a client is, and decides. */
#include "serve/viewer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct viewer viewer_of_peer(uid_t uid, gid_t gid, const gid_t *groups, size_t count, gid_t trusted)
{
	struct viewer v = {.sees_all = uid == 0 || gid == trusted, .may_change = true, .uid = uid};

	for (size_t i = 0; i < count; i++)
		v.sees_all |= groups[i] == trusted;
	return v;
}

int viewer_of_socket(int fd, gid_t trusted, struct viewer *ret_viewer)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	gid_t *groups = NULL;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	size = 0;
	/* -ERANGE tells how many there are. Without them less is seen, which is safe. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno == ERANGE)
		groups = malloc(size);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		size = 0;
	*ret_viewer = viewer_of_peer(peer.uid, peer.gid, groups, size / sizeof(*groups), trusted);
	free(groups);
	return 0;
}

struct viewer viewer_of_tcp(void)
{
	return (struct viewer){.sees_all = true, .may_change = false, .uid = (uid_t)-1};
}

bool viewer_host_allowed(const char *host, unsigned port)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
	char suffix[16];

	snprintf(suffix, sizeof(suffix), ":%u", port);
	for (size_t i = 0; host && i < sizeof(names) / sizeof(names[0]); i++) {
		size_t length = strlen(names[i]);

		if (!strncasecmp(host, names[i], length) && !strcmp(host + length, suffix))
			return true;
	}
	return false;
}
