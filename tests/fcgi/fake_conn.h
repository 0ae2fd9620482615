/* fake_conn.h - a connection in memory, for tests: gives a body in pieces, keeps what is written.
 */
#ifndef AIRSTRIP_FAKE_CONN_H
#define AIRSTRIP_FAKE_CONN_H

#include <string.h>

#include "fcgi/conn.h"
#include "kernels/base/buf.h"

struct fake_conn {
    struct conn conn; /* first */
    const char *in;
    size_t in_len, in_at;
    size_t piece;      /* bytes per read */
    size_t break_at;   /* reading fails once so many bytes were given; 0: never */
    struct buf out;    /* written and flushed */
    struct buf queued; /* written only */
    int n_flushes;
    int gone_after; /* flushes until the other side is gone; -1: never */
};

static long fake_read(struct conn *c, void *to, size_t len)
{
    struct fake_conn *f = (struct fake_conn *)(void *)c;
    size_t n = f->in_len - f->in_at;

    if (f->break_at && f->in_at >= f->break_at)
        return -1;
    if (n > len)
        n = len;
    if (n > f->piece)
        n = f->piece;
    memcpy(to, f->in + f->in_at, n);
    f->in_at += n;
    return (long)n;
}

static bool fake_write(struct conn *c, const void *bytes, size_t len)
{
    struct fake_conn *f = (struct fake_conn *)(void *)c;

    buf_put(&f->queued, bytes, len);
    return f->gone_after != 0;
}

static bool fake_flush(struct conn *c)
{
    struct fake_conn *f = (struct fake_conn *)(void *)c;

    if (f->gone_after == 0)
        return false;
    if (f->gone_after > 0)
        f->gone_after--;
    f->n_flushes++;
    buf_put(&f->out, buf_str(&f->queued), f->queued.len);
    buf_reset(&f->queued);
    return true;
}

static inline void fake_conn_init(struct fake_conn *f, const char *in, size_t in_len)
{
    *f = (struct fake_conn){
        .conn = { .fd = -1, .read = fake_read, .write = fake_write, .flush = fake_flush },
        .in = in,
        .in_len = in_len,
        .piece = 7,
        .gone_after = -1,
    };
}

static inline void fake_conn_done(struct fake_conn *f)
{
    buf_done(&f->out);
    buf_done(&f->queued);
}

#endif
