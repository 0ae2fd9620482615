#include "fetch/download.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fetch/bar.h"
#include "fetch/digest.h"

enum { CHUNK = 1 << 18 };

struct transfer {
    const struct listed *file;
    const char *name;
    struct digest *digest; /* of the first `have` bytes */
    int fd;
    size_t have;
};

static int cannot(const char *what, const struct transfer *t, struct err *e)
{
    return err_set(e, ERR_IO, "%.150s: cannot %s what came of it: %s", t->name, what,
                   strerror(errno));
}

static int start_over(struct transfer *t, struct err *e)
{
    t->have = 0;
    if (ftruncate(t->fd, 0) || lseek(t->fd, 0, SEEK_SET))
        return cannot("empty", t, e);
    return digest_restart(t->digest, e);
}

/* The hub sends from `from` on: what was asked for, or all of it where it knows no ranges. */
static int begin(void *arg, size_t from, struct err *e)
{
    struct transfer *t = arg;

    return from == t->have ? 0 : start_over(t, e);
}

static int put(void *arg, const char *bytes, size_t len, struct err *e)
{
    struct transfer *t = arg;
    int rc;

    if (len > t->file->size - t->have)
        return err_set(e, ERR_FORMAT, "%.150s: expected %zu bytes, the hub sends more", t->name,
                       t->file->size);
    rc = digest_put(t->digest, bytes, len, e);
    while (!rc && len) {
        ssize_t n = write(t->fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cannot("write", t, e);
        bytes += n;
        len -= (size_t)n;
        t->have += (size_t)n;
    }
    bar_at(t->have);
    return rc;
}

/* What an earlier run left: into the hash, and the file's end is where it goes on. */
static int take_up(struct transfer *t, struct err *e)
{
    static char chunk[CHUNK];
    ssize_t n;
    int rc = 0;

    while (!rc && (n = read(t->fd, chunk, sizeof chunk))) {
        if (n < 0 && errno != EINTR)
            return cannot("read", t, e);
        if (n < 0)
            continue;
        rc = digest_put(t->digest, chunk, (size_t)n, e);
        t->have += (size_t)n;
        if (t->have > t->file->size)
            return start_over(t, e);
    }
    bar_at(t->have);
    return rc;
}

/* Until all bytes are there.  An attempt that brought some starts the count of failures anew. */
static int transfer_all(struct transfer *t, struct http *h, const char *url, struct err *e)
{
    struct http_sink sink = { begin, put, t };
    size_t most = t->have;
    int failures = 0;

    while (t->have < t->file->size || (!t->file->size && !failures)) {
        long wait_s;
        int rc = http_get(h, url, t->name, t->have, &sink, &wait_s, e);

        if (!rc && t->have == t->file->size)
            return 0;
        if (!rc)
            rc = err_set(e, ERR_BUSY, "%.150s: the answer ended after %zu of %zu bytes", t->name,
                         t->have, t->file->size);
        if (rc == ERR_LIMIT && t->have) /* what was left is of another file */
            rc = start_over(t, e) ? ERR_IO : ERR_BUSY;
        if (rc != ERR_BUSY)
            return rc;
        failures = t->have > most ? 1 : failures + 1;
        if (t->have > most)
            most = t->have;
        rc = http_wait(h, failures, wait_s, e);
        if (rc)
            return rc;
    }
    return 0;
}

/* Whole and right: 0.  ERR_FORMAT where the hash is another. */
static int check(struct transfer *t, struct err *e)
{
    char hex[DIGEST_HEX_BYTES];
    int rc = digest_end(t->digest, hex, e);

    if (!rc && strcmp(hex, t->file->id))
        rc = err_set(e, ERR_FORMAT, "%.150s: expected %s %s, found %s", t->name,
                     t->file->git ? "git's SHA-1" : "SHA-256", t->file->id, hex);
    return rc;
}

static int fetch(struct transfer *t, struct http *h, const char *url, struct err *e)
{
    int rc = take_up(t, e);

    for (int round = 0; !rc; round++) {
        rc = transfer_all(t, h, url, e);
        if (rc || !(rc = check(t, e)) || rc != ERR_FORMAT || round)
            break;
        bar_note("%s; all of it once more", e->text);
        rc = start_over(t, e);
    }
    return rc;
}

int download(struct http *h, const struct store *s, const char *url, const char *name,
             const struct listed *file, bool *fetched, struct err *e)
{
    struct transfer t = { .file = file, .name = name, .fd = -1 };
    int lock, rc;

    *fetched = false;
    if (store_has(s, file->id, file->size))
        return 0;
    rc = store_lock(s, file->id, &lock, e);
    if (rc)
        return rc;
    if (store_has(s, file->id, file->size)) /* the one we waited for has brought it */
        goto out;
    *fetched = true;
    if ((rc = digest_create(&t.digest, file->git, file->size, e)) ||
        (rc = store_start(s, file->id, &t.fd, e)))
        goto out;
    rc = fetch(&t, h, url, e);
    if (rc == ERR_FORMAT)
        store_drop(s, file->id);
    if (!rc)
        rc = store_finish(s, file->id, t.fd, e);
out:
    if (t.fd >= 0)
        close(t.fd);
    digest_free(t.digest);
    store_unlock(lock);
    return rc;
}
