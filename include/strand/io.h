/* SPDX-License-Identifier: MIT */
/* Input and output, and calls that block. See strand.h. */
#ifndef STRAND_API_IO_H
#define STRAND_API_IO_H

#include <sys/socket.h>
#include <strand/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * These calls are tried first, and park the task as `IO wait` only where they would block.
 * Beside what is listed they return what the system call of the same name would put into
 * errno, as -errno. A task that is parked here is never leaked: the kernel may wake it.
 *
 * Sockets may be in blocking mode. Everything else, and sockets to accept on or to connect,
 * has to be in non-blocking mode (strand_fd_nonblock): -EINVAL if not, since the call would
 * hold up all tasks of the worker. For files on disks, non-blocking mode changes nothing: use
 * strand_block where they are slow.
 *
 * Any number of tasks may use one descriptor at the same time. Close it by strand_close
 * if one of them may be waiting: after close(2) they wait on, for their deadline or for what
 * next gets that number, like threads in poll(2).
 *
 * Context of all of them: a task or a plain thread. Common results:
 *   -ETIMEDOUT  not possible in time (with deadline 0: not at once); nothing was done
 *   -ECANCELED  the task was cancelled; nothing was done
 *   -EBADF      not an open descriptor, or strand_close was called meanwhile
 */
enum strand_io { STRAND_READABLE = 1, STRAND_WRITABLE = 2 };

struct iovec;

/*
 * strand_wait_fd - wait until a descriptor can be read or written without blocking.
 * @events  what to wait for, of enum strand_io; whichever comes first ends the wait
 * Returns which of them are true (an error or a hang-up makes all true: the next call tells),
 * or -EINVAL for no or unknown events. It is no promise: another task may be faster.
 */
STRAND_API int strand_wait_fd(int fd, unsigned events, strand_time deadline);

/*
 * strand_read, strand_readv - take what is there, at least one byte; 0 is the end of the file.
 * strand_write, strand_writev - give what there is room for, at least one byte.
 * Return the number of bytes. On sockets there is no SIGPIPE, only -EPIPE.
 */
STRAND_API ssize_t strand_read(int fd, void *data, size_t size, strand_time deadline);
STRAND_API ssize_t strand_readv(int fd, const struct iovec *parts, int count, strand_time deadline);
STRAND_API ssize_t strand_write(int fd, const void *data, size_t size, strand_time deadline);
STRAND_API ssize_t strand_writev(int fd, const struct iovec *parts, int count,
				 strand_time deadline);

/* strand_recvmsg, strand_sendmsg - like recvmsg(2) and sendmsg(2), without SIGPIPE. */
STRAND_API ssize_t strand_recvmsg(int fd, struct msghdr *message, int flags, strand_time deadline);
STRAND_API ssize_t strand_sendmsg(int fd, const struct msghdr *message, int flags,
				  strand_time deadline);

/*
 * strand_accept - take a connection from a listening socket.
 * @ret_peer, @ret_peer_size  as for accept(2); may be NULL
 * @flags                     of accept4(2), for the new socket: SOCK_CLOEXEC, SOCK_NONBLOCK
 * Returns the new descriptor.
 */
STRAND_API int strand_accept(int fd, struct sockaddr *ret_peer, socklen_t *ret_peer_size, int flags,
			     strand_time deadline);

/*
 * strand_connect - connect a socket.
 * Returns 0. After -ETIMEDOUT or -ECANCELED the attempt may still be under way: close the
 * socket. -EAGAIN: a local socket's queue of connections is full; there is no waiting for that.
 */
STRAND_API int strand_connect(int fd, const struct sockaddr *peer, socklen_t peer_size,
			      strand_time deadline);

/*
 * strand_close - close a descriptor and wake the tasks that wait for it, with -EBADF.
 * Plain threads that wait for it are not woken. Returns 0 or -errno; never parks.
 */
STRAND_API int strand_close(int fd);

/* strand_fd_nonblock - put a descriptor into non-blocking mode. Returns 0 or -errno. */
STRAND_API int strand_fd_nonblock(int fd);

/*
 * strand_block - run a call that blocks on a helper thread, while other tasks run.
 * @fn, @arg    fn(arg) is called on another thread, where it is no task
 * @deadline    for the call to begin: once begun it is waited for, deadline or not, since it
 *              may use the task's stack. 0: only if a thread is free, or may be started
 * @ret_result  what fn returned; may be NULL
 * Returns 0, with errno as fn has left it, or
 *   -ETIMEDOUT  not begun in time: all helper threads were busy
 *   -ECANCELED  the task was cancelled before the call had begun
 *   -EAGAIN     no helper thread could be started
 *   -EINVAL     fn is NULL
 * Context: a task, parked as `blocking call`; in a plain thread fn is just called.
 * At most 64 calls run at a time (environment: STRAND_BLOCKING_THREADS=N); others queue. A
 * thread without work ends after 10 seconds. When strand_main returns, calls that still run
 * are not waited for, and what they use stays valid.
 */
STRAND_API int strand_block(int (*fn)(void *), void *arg, strand_time deadline, int *ret_result);

#ifdef __cplusplus
}
#endif

#endif
