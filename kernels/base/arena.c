#include "kernels/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16, BLOCK_BYTES = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(ALIGN) unsigned char data[];
};

void arena_init(struct arena *a, size_t limit_bytes)
{
    *a = (struct arena){ .limit_bytes = limit_bytes ? limit_bytes : SIZE_MAX };
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    struct arena_block *b = a->head;
    void *p;

    if (bytes > SIZE_MAX - BLOCK_BYTES - ALIGN)
        return NULL;
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (bytes > a->limit_bytes - a->used_bytes)
        return NULL;
    if (!b || b->size - b->used < bytes) {
        size_t size = bytes > BLOCK_BYTES / 4 ? bytes : BLOCK_BYTES;

        b = calloc(1, sizeof *b + size);
        if (!b)
            return NULL;
        b->size = size;
        if (a->head && size == bytes) { /* a large one of its own: keep filling the old block */
            b->next = a->head->next;
            a->head->next = b;
        } else {
            b->next = a->head;
            a->head = b;
        }
    }
    p = b->data + b->used;
    b->used += bytes;
    a->used_bytes += bytes;
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return arena_alloc(a, bytes);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *p = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;

    if (p && len)
        memcpy(p, s, len);
    return p;
}

void arena_done(struct arena *a)
{
    struct arena_block *b = a->head, *next;

    for (; b; b = next) {
        next = b->next;
        free(b);
    }
    a->head = NULL;
    a->used_bytes = 0;
}
