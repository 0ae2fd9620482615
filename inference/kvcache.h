/* kvcache.h - who owns which page of keys and values.
 *
 * The backend holds the bytes (struct kv); here are the books: a sequence has a table of page
 * numbers, pages count the tables that they stand in, and those in none are free.  A free page may
 * still hold a prefix that a later sequence begins with (inference/prefix.h); it is given out anew
 * only when no blank one is left, the least recently used first.
 * Owned by the engine thread. */
#ifndef AIRSTRIP_KVCACHE_H
#define AIRSTRIP_KVCACHE_H

#include <stddef.h>
#include <stdint.h>

#include "inference/prefix.h"
#include "kernels/backend.h"
#include "kernels/base/err.h"

/* Neighbours in the ring of free pages. */
struct kv_link {
    int32_t prev, next;
};

struct kvcache {
    struct kv *kv;     /* the backend's storage, for rope_kv and attend */
    struct lead *lead; /* NULL, or who tells other ranks what is copied; set by whoever opened it,
                        * borrowed */
    size_t page_tokens, n_pages;
    size_t n_free;         /* in no table, blank or with a prefix */
    size_t n_cached;       /* of those, with a prefix */
    uint32_t *refs;        /* [n_pages] tables that hold the page */
    struct kv_link *links; /* [n_pages + 1]; the last element is the ring's end */
    struct prefix prefix;
    uint64_t n_lookups, n_hits, n_evicted; /* since it was opened; evicted: pages with a prefix */
    const struct backend *backend;
    struct device *device;
};

/* "f32", "f16", "bf16" or "q8_0"; NULL and "" leave *out as it is. */
int kvcache_type(const char *name, enum dtype *out, struct err *e) MUST_CHECK;

int kvcache_open(struct kvcache *c, const struct backend *b, struct device *d,
                 const struct kv_shape *shape, struct err *e) MUST_CHECK;
void kvcache_close(struct kvcache *c);

/* The page table of one sequence. */
struct kv_table {
    int32_t *pages;
    size_t n_pages, cap;
};

/* Fills an empty table with the pages that hold the longest known prefix of ids, which is n_tokens
 * at most; returns how many tokens that is.  What ends within a page is copied (enqueued) into a
 * fresh page, if one is free. */
size_t kvcache_reuse(struct kvcache *c, struct kv_table *t, const int32_t *ids, size_t n_tokens);

/* Makes the table long enough for n_tokens; ERR_BUSY (table unchanged) when too few pages are free.
 * Free pages with a prefix lose it where blank ones do not suffice. */
int kvcache_grow(struct kvcache *c, struct kv_table *t, size_t n_tokens, struct err *e) MUST_CHECK;

/* Makes the first n_tokens, which are evaluated, known to later sequences.  Where another full page
 * holds the same prefix already, the table gets that one instead of its own. */
void kvcache_keep(struct kvcache *c, struct kv_table *t, const int32_t *ids, size_t n_tokens);

/* Gives all pages back and frees the table. */
void kvcache_drop(struct kvcache *c, struct kv_table *t);

size_t kvcache_pages_for(const struct kvcache *c, size_t n_tokens);

/* What a status shows of it. */
struct kv_use {
    size_t pages_used, pages_cached; /* by running sequences; free, with a prefix */
    size_t pages_entered;            /* with a prefix, in use or free */
    uint64_t n_lookups, n_hits, n_evicted;
};
static inline struct kv_use kvcache_use(const struct kvcache *c)
{
    return (struct kv_use){ .pages_used = c->n_pages - c->n_free,
                            .pages_cached = c->n_cached,
                            .pages_entered = c->prefix.n_entered,
                            .n_lookups = c->n_lookups,
                            .n_hits = c->n_hits,
                            .n_evicted = c->n_evicted };
}

#endif
