/* kvcache.c - books of the pages of keys and values: a stack of free ones, a count of users each.
 */
#include "inference/kvcache.h"

#include <stdlib.h>
#include <string.h>

int kvcache_open(struct kvcache *c, const struct backend *b, struct device *d,
                 const struct kv_shape *shape, struct err *e)
{
    size_t n = shape->n_pages;
    int rc;

    memset(c, 0, sizeof *c);
    if (shape->page_tokens == 0 || n == 0 || n > INT32_MAX)
        return err_set(e, ERR_INVALID, "key-value cache of %zu pages of %zu tokens is out of range",
                       n, shape->page_tokens);
    c->backend = b;
    c->device = d;
    c->page_tokens = shape->page_tokens;
    c->n_pages = c->n_free = n;
    c->free_list = malloc(n * sizeof *c->free_list);
    c->refs = calloc(n, sizeof *c->refs);
    if (!c->free_list || !c->refs) {
        rc = err_set(e, ERR_NOMEM, "no memory for the books of %zu key-value pages", n);
        goto fail;
    }
    /* Page 0 lies on top: a lightly loaded server touches few pages, always the same ones. */
    for (size_t i = 0; i < n; i++)
        c->free_list[i] = (int32_t)(n - 1 - i);
    rc = b->kv_open(d, shape, &c->kv, e);
    if (rc == 0)
        return 0;
fail:
    kvcache_close(c);
    return rc;
}

void kvcache_close(struct kvcache *c)
{
    if (c->kv)
        c->backend->kv_close(c->device, c->kv);
    free(c->free_list);
    free(c->refs);
    memset(c, 0, sizeof *c);
}

/* Rounded up, written so that no sum can wrap. */
size_t kvcache_pages_for(const struct kvcache *c, size_t n_tokens)
{
    return n_tokens / c->page_tokens + (n_tokens % c->page_tokens != 0);
}

/* Room for at least `need` page numbers, doubled so that growing token by token stays cheap. */
static int table_reserve(struct kv_table *t, size_t need, struct err *e)
{
    size_t cap = t->cap ? t->cap : 8;
    int32_t *pages;

    if (need <= t->cap)
        return 0;
    while (cap < need)
        cap *= 2; /* need <= n_pages <= INT32_MAX: cannot wrap */
    pages = realloc(t->pages, cap * sizeof *pages);
    if (!pages)
        return err_set(e, ERR_NOMEM, "no memory for a table of %zu key-value pages", cap);
    t->pages = pages;
    t->cap = cap;
    return 0;
}

int kvcache_grow(struct kvcache *c, struct kv_table *t, size_t n_tokens, struct err *e)
{
    size_t need = kvcache_pages_for(c, n_tokens);
    int rc;

    if (need <= t->n_pages)
        return 0;
    if (need - t->n_pages > c->n_free)
        return err_set(e, ERR_BUSY, "%zu more key-value pages are needed, %zu of %zu are free",
                       need - t->n_pages, c->n_free, c->n_pages);
    rc = table_reserve(t, need, e); /* before any page is taken: an error leaves all as it was */
    if (rc)
        return rc;
    while (t->n_pages < need) {
        int32_t page = c->free_list[--c->n_free];

        c->refs[page] = 1;
        t->pages[t->n_pages++] = page;
    }
    return 0;
}

void kvcache_drop(struct kvcache *c, struct kv_table *t)
{
    /* last page first: the stack then gives them out again in the order they had */
    while (t->n_pages) {
        int32_t page = t->pages[--t->n_pages];

        if (--c->refs[page] == 0)
            c->free_list[c->n_free++] = page;
    }
    free(t->pages);
    memset(t, 0, sizeof *t);
}
