/* buf.h - bytes that grow.
 *
 * Errors stick: after an allocation fails or the limit is passed, `failed` is set and further puts
 * do nothing, so that a writer checks once at the end.  One thread at a time. */
#ifndef AIRSTRIP_BUF_H
#define AIRSTRIP_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/err.h"

struct buf {
    char *data;   /* always NUL-terminated once non-NULL; NULL while empty */
    size_t len;   /* without the NUL */
    size_t cap;   /* bytes allocated */
    size_t limit; /* len never passes it; 0 means no limit */
    bool failed;
};

/* A zeroed struct buf is a valid empty one without a limit. */
void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Makes room for `extra` more bytes and returns where they go; the caller then adds to len.
 * NULL on failure. */
char *buf_room(struct buf *b, size_t extra);

/* Empties it, keeps the memory, forgets `failed`. */
void buf_reset(struct buf *b);

/* Frees the memory; the buf is empty and usable again, its limit kept. */
void buf_done(struct buf *b);

/* The contents as a C string: "" while empty. Borrowed until the next put. */
const char *buf_str(const struct buf *b);

#endif
