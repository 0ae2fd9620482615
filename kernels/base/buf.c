#include "kernels/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *buf_room(struct buf *b, size_t extra)
{
    size_t need, cap;
    char *p;

    if (b->failed)
        return NULL;
    if (__builtin_add_overflow(b->len, extra, &need) || (b->limit && need > b->limit) ||
        need > SIZE_MAX / 2)
        goto fail;
    if (need < b->cap)
        return b->data + b->len;
    cap = b->cap ? b->cap * 2 : 64;
    if (cap <= need)
        cap = need + 1;
    p = realloc(b->data, cap);
    if (!p)
        goto fail;
    b->data = p;
    b->cap = cap;
    b->data[b->len] = '\0';
    return b->data + b->len;
fail:
    b->failed = true;
    return NULL;
}

void buf_put(struct buf *b, const void *bytes, size_t len)
{
    char *to = buf_room(b, len);

    if (!to)
        return;
    if (len)
        memcpy(to, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;
    char *to;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    to = buf_room(b, (size_t)n);
    if (!to)
        return;
    va_start(ap, fmt);
    vsnprintf(to, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf){ .limit = b->limit };
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}
