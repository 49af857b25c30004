/* SPDX-License-Identifier: MIT */
/* Locks and the like. See strand.h. */
#ifndef STRAND_API_SYNC_H
#define STRAND_API_SYNC_H

#include <strand/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Mutexes, read-write locks, conditions, wait groups, semaphores and once are small structures
 * that lie where you put them: in a global variable, in a structure, on a stack. All zero is
 * ready for use; there is nothing to free. Their fields are the library's. One that somebody
 * holds or waits for must be neither moved nor overwritten, and its memory must stay.
 *
 * Tasks and plain threads use them alike, in one process. Who waits longest goes first:
 * a lock is handed over, and nobody overtakes those who wait.
 *
 * Threads may use them before the runtime starts and after it has ended. A call that has to
 * wait returns -ENOMEM if there is no memory to queue up.
 */

/* A mutex knows its owner, and nobody else can unlock it. */
struct strand_mutex {
	uint64_t word;
};

/*
 * strand_mutex_lock - become the owner.
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EINVAL for NULL. Whoever locks a mutex that it owns waits
 * for itself: a deadlock, which the leak search proves.
 * Context: a task or a plain thread. Parks as `mutex lock`.
 */
STRAND_API int strand_mutex_lock(struct strand_mutex *mutex, strand_time deadline);

/*
 * strand_mutex_unlock - give the mutex to who waits longest, or leave it free.
 * Returns 0, -EPERM if the caller is not the owner, -EINVAL for NULL.
 * Context: a task or a plain thread; never parks.
 */
STRAND_API int strand_mutex_unlock(struct strand_mutex *mutex);

/*
 * A read-write lock has one writer, or any number of readers, and knows them. First come,
 * first served: a waiting writer holds back new readers. So to read-lock it again while one
 * holds it for reading is a deadlock if a writer came in between.
 */
struct strand_rwlock {
	uint64_t word;
};

/*
 * strand_rwlock_rlock, strand_rwlock_lock - hold it for reading, or for writing.
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EINVAL for NULL.
 * Context: a task or a plain thread. Parks as `rwlock rlock`, `rwlock lock`.
 */
STRAND_API int strand_rwlock_rlock(struct strand_rwlock *lock, strand_time deadline);
STRAND_API int strand_rwlock_lock(struct strand_rwlock *lock, strand_time deadline);

/*
 * strand_rwlock_runlock, strand_rwlock_unlock - end reading, or writing.
 * Return 0, -EPERM if the caller does not read (write), -EINVAL for NULL. With more than four
 * read locks held at once, the caller's right to end one is only checked roughly.
 * Context: a task or a plain thread; never park.
 */
STRAND_API int strand_rwlock_runlock(struct strand_rwlock *lock);
STRAND_API int strand_rwlock_unlock(struct strand_rwlock *lock);

/* A condition: to wait until something that a mutex protects has changed. */
struct strand_cond {
	uint64_t word;
};

/*
 * strand_cond_wait - unlock the mutex, wait for a signal, and lock the mutex again.
 * @mutex     owned by the caller, before and after, whatever is returned
 * @deadline  absolute; for the signal: the mutex is waited for without one
 * Returns 0 (woken: look whether what you wait for is so), -ETIMEDOUT, -ECANCELED, -EPERM if
 * the caller does not own the mutex, -EINVAL for NULL. No signal comes between unlock and wait.
 * Context: a task or a plain thread. Parks as `cond wait`, then perhaps as `mutex lock`.
 */
STRAND_API int strand_cond_wait(struct strand_cond *cond, struct strand_mutex *mutex,
				strand_time deadline);

/*
 * strand_cond_signal, strand_cond_broadcast - wake who waits longest, or all.
 * The mutex may be held or not. Return 0, -EINVAL for NULL.
 * Context: a task or a plain thread; never park.
 */
STRAND_API int strand_cond_signal(struct strand_cond *cond);
STRAND_API int strand_cond_broadcast(struct strand_cond *cond);

/* A wait group counts what is not done yet. */
struct strand_waitgroup {
	uint64_t word;
};

/*
 * strand_waitgroup_add, strand_waitgroup_done - change the count; done takes one off.
 * At zero, all who wait go on. Return 0, -EINVAL if the count would become negative (it stays
 * as it is; also for NULL), -EOVERFLOW above 2^61. Add before you start what will be done.
 * Context: a task or a plain thread; never park.
 */
STRAND_API int strand_waitgroup_add(struct strand_waitgroup *group, int64_t count);
STRAND_API int strand_waitgroup_done(struct strand_waitgroup *group);

/*
 * strand_waitgroup_wait - wait until the count is zero.
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EINVAL for NULL. After 0 the memory may be freed.
 * Context: a task or a plain thread. Parks as `waitgroup wait`.
 */
STRAND_API int strand_waitgroup_wait(struct strand_waitgroup *group, strand_time deadline);

/* A semaphore holds permits: none at first, or STRAND_SEMAPHORE_INIT(n). */
struct strand_semaphore {
	uint64_t word;
};

/* clang-format off */
#define STRAND_SEMAPHORE_INIT(permits) {(uint64_t)(permits) << 1}
/* clang-format on */

/*
 * strand_semaphore_acquire - take permits, all at once.
 * @permits   at least 1
 * @deadline  absolute; STRAND_FOREVER waits, 0 tries
 * Who waits for many is not overtaken by who wants few. Returns 0, -ETIMEDOUT, -ECANCELED
 * (nothing taken), -EINVAL for no permits or NULL.
 * Context: a task or a plain thread. Parks as `semaphore acquire`.
 */
STRAND_API int strand_semaphore_acquire(struct strand_semaphore *semaphore, uint32_t permits,
					strand_time deadline);

/*
 * strand_semaphore_release - add permits; anybody may.
 * Returns 0, -EINVAL for no permits or NULL, -EOVERFLOW above 2^62 (nothing added).
 * Context: a task or a plain thread; never parks.
 */
STRAND_API int strand_semaphore_release(struct strand_semaphore *semaphore, uint32_t permits);

/* For what has to be done once. */
struct strand_once {
	struct strand_mutex mutex;
	uint64_t done;
};

/*
 * strand_once - call fn(arg) if nobody has yet with this structure.
 * When it returns 0, the one call has returned. Who comes meanwhile waits for it; an fn that
 * calls its own once waits for itself. Returns 0, -ECANCELED or -ETIMEDOUT (the
 * caller was cancelled, or its scope's deadline passed, while it waited), -EINVAL for NULL.
 * Context: a task or a plain thread. Parks as `mutex lock`.
 */
STRAND_API int strand_once(struct strand_once *once, void (*fn)(void *), void *arg);

#ifdef __cplusplus
}
#endif

#endif
