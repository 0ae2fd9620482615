/* kvcache.h - who owns which page of keys and values.
 *
 * The backend holds the bytes (struct kv); here are the books: a sequence has a table of page numbers,
 * pages have reference counts so that sequences can share a prefix later.
 * Owned by the engine thread. */
#ifndef AIRSTRIP_KVCACHE_H
#define AIRSTRIP_KVCACHE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/backend.h"
#include "kernels/base/err.h"

struct kvcache {
    struct kv *kv;      /* the backend's storage, for rope_kv and attend */
    size_t page_tokens, n_pages, n_free;
    int32_t *free_list; /* [n_pages] stack of free page numbers */
    uint32_t *refs;     /* [n_pages] */
    const struct backend *backend;
    struct device *device;
};

int kvcache_open(struct kvcache *c, const struct backend *b, struct device *d,
                 const struct kv_shape *shape, struct err *e) MUST_CHECK;
void kvcache_close(struct kvcache *c);

/* The page table of one sequence. */
struct kv_table {
    int32_t *pages;
    size_t n_pages, cap;
};

/* Makes the table long enough for n_tokens; ERR_BUSY (table unchanged) when too few pages are free. */
int kvcache_grow(struct kvcache *c, struct kv_table *t, size_t n_tokens, struct err *e) MUST_CHECK;

/* Gives all pages back and frees the table. */
void kvcache_drop(struct kvcache *c, struct kv_table *t);

size_t kvcache_pages_for(const struct kvcache *c, size_t n_tokens);

#endif
