/* kvcache.c - books of the pages of keys and values: a ring of free ones, a count of users each.
 *
 * Blank pages lie at the front of the ring, those with a prefix behind them, in the order in which
 * they were let go.  Of a prefix the pages stand in a table from the first on (kvcache_reuse) and
 * are let go from the last on (kvcache_drop).  So whoever uses a page uses those before it too, and
 * among free ones a page lies nearer to the front than the one before it in the text: the page at
 * the front has none entered after it, and may be forgotten. */
#include "inference/kvcache.h"
#include "inference/ranks_lead.h"

#include <stdlib.h>
#include <string.h>

/* --- the ring of free pages --- */

/* Behind the page (or the ring's end) called after. */
static void put_free(struct kvcache *c, int32_t page, int32_t after)
{
    int32_t next = c->links[after].next;

    c->links[page] = (struct kv_link){ after, next };
    c->links[after].next = c->links[next].prev = page;
    c->n_free++;
}

static void unlink_free(struct kvcache *c, int32_t page)
{
    struct kv_link l = c->links[page];

    c->links[l.prev].next = l.next;
    c->links[l.next].prev = l.prev;
    c->n_free--;
}

/* One more table holds a page whose prefix is known. */
static void use(struct kvcache *c, int32_t page)
{
    if (c->refs[page]++)
        return;
    unlink_free(c, page);
    c->n_cached--;
}

/* The page in front, for something new; n_free > 0. */
static int32_t take_free(struct kvcache *c)
{
    int32_t page = c->links[c->n_pages].next;

    unlink_free(c, page);
    if (prefix_has(&c->prefix, page)) {
        prefix_forget(&c->prefix, page);
        c->n_cached--;
        c->n_evicted++;
    }
    c->refs[page] = 1;
    return page;
}

/* One table fewer holds it. */
static void let_go(struct kvcache *c, int32_t page)
{
    int32_t end = (int32_t)c->n_pages;

    if (--c->refs[page])
        return;
    if (prefix_has(&c->prefix, page)) {
        put_free(c, page, c->links[end].prev);
        c->n_cached++;
    } else {
        put_free(c, page, end);
    }
}

/* --- open and close --- */

int kvcache_type(const char *name, enum dtype *out, struct err *e)
{
    static const struct {
        const char *name;
        enum dtype dtype;
    } types[] = {
        { "f32", DTYPE_F32 },   { "f16", DTYPE_F16 },    { "bf16", DTYPE_BF16 },
        { "q8_0", DTYPE_Q8_0 }, { "f8", DTYPE_F8_E4M3 },
    };

    if (!name || !*name)
        return 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0) {
            *out = types[i].dtype;
            return 0;
        }
    return err_param(
        e, "kv_cache_type", ERR_INVALID,
        "keys and values cannot be kept as \"%s\": expected f32, f16, bf16, q8_0 or f8", name);
}

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
    c->n_pages = n;
    c->links = malloc((n + 1) * sizeof *c->links);
    c->refs = calloc(n, sizeof *c->refs);
    if (!c->links || !c->refs) {
        rc = err_set(e, ERR_NOMEM, "no memory for the books of %zu key-value pages", n);
        goto fail;
    }
    c->links[n] = (struct kv_link){ (int32_t)n, (int32_t)n };
    for (size_t i = n; i-- > 0;) /* page 0 lies in front: it is touched first */
        put_free(c, (int32_t)i, (int32_t)n);
    rc = prefix_open(&c->prefix, n, shape->page_tokens, e);
    if (rc)
        goto fail;
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
    prefix_close(&c->prefix);
    free(c->links);
    free(c->refs);
    memset(c, 0, sizeof *c);
}

/* --- tables --- */

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
    while (t->n_pages < need)
        t->pages[t->n_pages++] = take_free(c);
    return 0;
}

/* A copy of the page that begins with most of ids[0 .. n), as the table's next; returns how many of
 * them.  While the source is held it cannot be the fresh page; ops run in order, so that later it
 * may be overwritten. */
static size_t reuse_part(struct kvcache *c, struct kv_table *t, int32_t parent, const int32_t *ids,
                         size_t n)
{
    size_t n_same;
    int32_t from = prefix_match(&c->prefix, parent, ids, n, &n_same), to;

    if (from == PREFIX_NONE || table_reserve(t, t->n_pages + 1, NULL))
        return 0;
    use(c, from);
    if (c->n_free) {
        to = take_free(c);
        if (c->lead)
            lead_copy(c->lead, from, to, n_same);
        c->backend->kv_copy(c->device, c->kv, from, to, n_same);
        t->pages[t->n_pages++] = to;
    } else {
        n_same = 0;
    }
    let_go(c, from);
    return n_same;
}

size_t kvcache_reuse(struct kvcache *c, struct kv_table *t, const int32_t *ids, size_t n_tokens)
{
    int32_t page, parent = PREFIX_NONE;
    size_t n;

    while (t->n_pages < n_tokens / c->page_tokens) {
        page = prefix_find(&c->prefix, parent, ids + t->n_pages * c->page_tokens);
        /* Without memory for the table it is as if there was no prefix. */
        if (page == PREFIX_NONE || table_reserve(t, t->n_pages + 1, NULL))
            break;
        use(c, page);
        t->pages[t->n_pages++] = parent = page;
    }
    n = t->n_pages * c->page_tokens;
    n += reuse_part(c, t, parent, ids + n,
                    n_tokens - n < c->page_tokens ? n_tokens - n : c->page_tokens);
    c->n_lookups++;
    c->n_hits += n > 0;
    return n;
}

/* n tokens of a page, all or the text's last ones, that no other page holds.  It may be known with
 * fewer. */
static void enter(struct kvcache *c, int32_t parent, const int32_t *ids, size_t n, int32_t page)
{
    if (prefix_has(&c->prefix, page))
        prefix_forget(&c->prefix, page);
    prefix_enter(&c->prefix, parent, ids, n, page);
}

/* What is left behind the full pages: worth knowing unless some page begins with it. */
static void keep_part(struct kvcache *c, int32_t parent, const int32_t *ids, size_t n, int32_t page)
{
    size_t n_same;

    (void)prefix_match(&c->prefix, parent, ids, n, &n_same);
    if (n_same < n)
        enter(c, parent, ids, n, page);
}

void kvcache_keep(struct kvcache *c, struct kv_table *t, const int32_t *ids, size_t n_tokens)
{
    int32_t parent = PREFIX_NONE;
    size_t n_full = n_tokens / c->page_tokens;

    for (size_t i = 0; i < n_full; i++) {
        const int32_t *of_page = ids + i * c->page_tokens;
        int32_t known = prefix_find(&c->prefix, parent, of_page);

        if (known == PREFIX_NONE) {
            enter(c, parent, of_page, c->page_tokens, t->pages[i]);
        } else if (known != t->pages[i]) { /* evaluated twice, in two sequences at a time */
            use(c, known);
            let_go(c, t->pages[i]);
            t->pages[i] = known;
        }
        parent = t->pages[i];
    }
    if (n_tokens % c->page_tokens)
        keep_part(c, parent, ids + n_full * c->page_tokens, n_tokens % c->page_tokens,
                  t->pages[n_full]);
}

void kvcache_drop(struct kvcache *c, struct kv_table *t)
{
    while (t->n_pages) /* last page first: see above */
        let_go(c, t->pages[--t->n_pages]);
    free(t->pages);
    memset(t, 0, sizeof *t);
}
