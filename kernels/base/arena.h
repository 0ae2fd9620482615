/* arena.h - memory that lives as long as one request (or one parsed template), with a limit.
 *
 * Allocate freely, free all at once; running past the limit is a NULL, never an abort.
 * One thread at a time. */
#ifndef AIRSTRIP_ARENA_H
#define AIRSTRIP_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *head; /* newest block first */
    size_t used_bytes;        /* what callers asked for, with alignment */
    size_t limit_bytes;       /* allocations that would pass it return NULL */
};

/* Caller's storage; nothing is allocated yet.  limit_bytes 0 means no limit. */
void arena_init(struct arena *a, size_t limit_bytes);

/* Zeroed memory aligned to 16, valid until arena_done(); NULL when the limit or memory is reached.
 */
void *arena_alloc(struct arena *a, size_t bytes);

/* count * size, checked; otherwise as arena_alloc(). */
void *arena_array(struct arena *a, size_t count, size_t size);

/* Copies len bytes and adds a terminating NUL. */
char *arena_strndup(struct arena *a, const char *s, size_t len);

/* Frees everything; the arena can be used again. */
void arena_done(struct arena *a);

#endif
