/* SPDX-License-Identifier: MIT */
/* Binds the sockets; TCP on loopback only. */
#include "serve/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static int parse_port(const char *text, unsigned *ret_port)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || port < 1 || port > 65535)
		return -EINVAL;
	*ret_port = (unsigned)port;
	return 0;
}

static int parse_address(const char *name, unsigned port, struct listen_address *a)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->storage;

	if (inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		a->size = sizeof(*v4);
		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET ? 0 : -EACCES;
	}
	if (inet_pton(AF_INET6, name, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		a->size = sizeof(*v6);
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ? 0 : -EACCES;
	}
	return -EINVAL;
}

int listen_parse(const char *text, struct listen_address *ret_address)
{
	struct listen_address a = {.size = 0};
	const char *colon = strrchr(text, ':');
	char name[INET6_ADDRSTRLEN + 2];
	size_t length = colon ? (size_t)(colon - text) : 0;
	int error;

	if (!colon || length >= sizeof(name) || parse_port(colon + 1, &a.port))
		return -EINVAL;
	memcpy(name, text, length);
	name[length] = '\0';
	if (!strcmp(name, "localhost"))
		strcpy(name, "127.0.0.1");
	if (name[0] == '[' && name[length - 1] == ']') {
		memmove(name, name + 1, length - 2);
		name[length - 2] = '\0';
	}
	error = parse_address(name, a.port, &a);
	if (!error)
		*ret_address = a;
	return error;
}

/* Is there somebody? */
static bool is_served(const struct sockaddr_un *address)
{
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool served;

	if (probe < 0)
		return false;
	/* EAGAIN: its queue is full. */
	served = connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
		 errno == EAGAIN;
	close(probe);
	return served;
}

static int bind_unix(int fd, const struct sockaddr_un *address, gid_t group, mode_t mode)
{
	struct stat status;
	mode_t old = umask(0777); /* nobody gets in before the owner is right */
	int error = 0;

	if (lstat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(address->sun_path);
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		error = -errno;
	umask(old);
	if (error)
		return error;
	if (lchown(address->sun_path, (uid_t)-1, group) < 0 || chmod(address->sun_path, mode) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		error = -errno;
		unlink(address->sun_path);
	}
	return error;
}

int listen_unix(const char *path, gid_t group, mode_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	if (is_served(&address))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	error = bind_unix(fd, &address, group, mode);
	if (!error)
		return fd;
	close(fd);
	return error;
}

gid_t listen_group(void)
{
	const struct group *group = getgrnam("stranded");

	return group ? group->gr_gid : 0;
}

int listen_tcp(const struct listen_address *address)
{
	int on = 1, error;
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (const struct sockaddr *)&address->storage, address->size) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}
