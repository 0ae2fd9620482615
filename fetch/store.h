/* store.h - one repository in the cache (hub/cache.h), being written to.
 *
 * A blob has its name only when it is whole and checked, and a snapshot its links only when all its
 * blobs are there: who looks meanwhile sees nothing or all of it.  One thread. */
#ifndef AIRSTRIP_FETCH_STORE_H
#define AIRSTRIP_FETCH_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/buf.h"
#include "kernels/base/err.h"

struct store {
    struct buf folder; /* CACHE/models--ORG--NAME */
    struct buf locks;  /* CACHE/.locks/models--ORG--NAME */
};

/* Makes the folders.  ERR_IO, ERR_NOMEM; ERR_INVALID where the environment names no cache.  Call
 * store_done() also after an error. */
int store_open(struct store *s, const char *repo, struct err *e) MUST_CHECK;
void store_done(struct store *s);

/* Is the blob there with that size? */
bool store_has(const struct store *s, const char *id, size_t size);

/* Bytes of it that an earlier, interrupted run left. */
size_t store_left(const struct store *s, const char *id);

/* ERR_IO where the file system has not room for so many bytes more. */
int store_room(const struct store *s, size_t bytes, struct err *e) MUST_CHECK;

/* Locks a blob against other programs that would fetch it; waits for them, and says so.  *lock:
 * give it to store_unlock(). */
int store_lock(const struct store *s, const char *id, int *lock, struct err *e) MUST_CHECK;
void store_unlock(int lock);

/* Opens the unfinished blob for reading and appending; what is there stays.  The caller closes *fd.
 */
int store_start(const struct store *s, const char *id, int *fd, struct err *e) MUST_CHECK;

/* The unfinished blob is on its disk and gets its name; or goes away. */
int store_finish(const struct store *s, const char *id, int fd, struct err *e) MUST_CHECK;
void store_drop(const struct store *s, const char *id);

/* snapshots/COMMIT/NAME -> the blob. */
int store_link(const struct store *s, const char *commit, const char *name, const char *id,
               struct err *e) MUST_CHECK;

/* refs/main = commit. */
int store_ref(const struct store *s, const char *commit, struct err *e) MUST_CHECK;

#endif
