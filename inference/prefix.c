/* prefix.c - a tree and a chained hash table whose nodes are the pages themselves, by number.
 *
 * The hash only finds candidates: parent and tokens are compared, so that no request can ever be
 * given another text's keys and values. */
#include "inference/prefix.h"

#include <stdlib.h>
#include <string.h>

#include "inference/sampler.h"

enum { MAX_LOOKED_AT = 4096 };

int prefix_open(struct prefix *p, size_t n_pages, size_t page_tokens, struct err *e)
{
    size_t n_buckets = 1, n_tokens;

    memset(p, 0, sizeof *p);
    if (n_pages == 0 || n_pages > INT32_MAX || page_tokens == 0 ||
        __builtin_mul_overflow(n_pages, page_tokens, &n_tokens))
        return err_set(e, ERR_INVALID, "an index of %zu pages of %zu tokens is out of range",
                       n_pages, page_tokens);
    while (n_buckets < n_pages)
        n_buckets *= 2;
    p->tokens = calloc(n_tokens, sizeof *p->tokens);
    p->nodes = calloc(n_pages + 1, sizeof *p->nodes);
    p->buckets = malloc(n_buckets * sizeof *p->buckets);
    if (!p->tokens || !p->nodes || !p->buckets) {
        prefix_close(p);
        return err_set(e, ERR_NOMEM, "no memory for the index of %zu key-value pages", n_pages);
    }
    for (size_t i = 0; i < n_buckets; i++)
        p->buckets[i] = PREFIX_NONE;
    p->nodes[n_pages].newest_child = PREFIX_NONE;
    p->n_pages = n_pages;
    p->page_tokens = page_tokens;
    p->mask = (uint32_t)(n_buckets - 1);
    p->seed = rng_random_seed();
    return 0;
}

void prefix_close(struct prefix *p)
{
    free(p->tokens);
    free(p->nodes);
    free(p->buckets);
    memset(p, 0, sizeof *p);
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014), after every token. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint32_t bucket_of(const struct prefix *p, int32_t parent, const int32_t *ids)
{
    uint64_t h = mix(p->seed ^ (uint32_t)parent);

    for (size_t i = 0; i < p->page_tokens; i++)
        h = mix(h ^ (uint32_t)ids[i]);
    return (uint32_t)h & p->mask;
}

static int32_t *tokens_of(const struct prefix *p, int32_t page)
{
    return p->tokens + (size_t)page * p->page_tokens;
}

int32_t prefix_find(const struct prefix *p, int32_t parent, const int32_t *ids)
{
    int32_t page = p->buckets[bucket_of(p, parent, ids)];

    while (page != PREFIX_NONE &&
           (p->nodes[page].parent != parent ||
            memcmp(tokens_of(p, page), ids, p->page_tokens * sizeof *ids) != 0))
        page = p->nodes[page].next;
    return page;
}

static struct prefix_node *parent_node(const struct prefix *p, int32_t parent)
{
    return &p->nodes[parent == PREFIX_NONE ? (int32_t)p->n_pages : parent];
}

int32_t prefix_match(const struct prefix *p, int32_t parent, const int32_t *ids, size_t n,
                     size_t *n_same)
{
    int32_t page = parent_node(p, parent)->newest_child, best = PREFIX_NONE;

    *n_same = 0;
    for (size_t i = 0; page != PREFIX_NONE && i < MAX_LOOKED_AT; i++) {
        size_t most = p->nodes[page].n < n ? p->nodes[page].n : n, same = 0;
        const int32_t *tokens = tokens_of(p, page);

        while (same < most && tokens[same] == ids[same])
            same++;
        if (same > *n_same) {
            *n_same = same;
            best = page;
        }
        page = p->nodes[page].older;
    }
    return best;
}

void prefix_enter(struct prefix *p, int32_t parent, const int32_t *ids, size_t n, int32_t page)
{
    struct prefix_node *node = &p->nodes[page], *above = parent_node(p, parent);

    memcpy(tokens_of(p, page), ids, n * sizeof *ids);
    *node = (struct prefix_node){ .parent = parent,
                                  .next = PREFIX_NONE,
                                  .older = above->newest_child,
                                  .newer = PREFIX_NONE,
                                  .newest_child = PREFIX_NONE,
                                  .n = (uint32_t)n };
    if (node->older != PREFIX_NONE)
        p->nodes[node->older].newer = page;
    above->newest_child = page;
    p->n_entered++;
    if (n < p->page_tokens)
        return;
    node->bucket = bucket_of(p, parent, ids);
    node->next = p->buckets[node->bucket];
    p->buckets[node->bucket] = page;
}

void prefix_forget(struct prefix *p, int32_t page)
{
    struct prefix_node *node = &p->nodes[page];

    if (node->n == p->page_tokens) {
        int32_t *link = &p->buckets[node->bucket];

        while (*link != page)
            link = &p->nodes[*link].next;
        *link = node->next;
    }
    if (node->older != PREFIX_NONE)
        p->nodes[node->older].newer = node->newer;
    if (node->newer != PREFIX_NONE)
        p->nodes[node->newer].older = node->older;
    else
        parent_node(p, node->parent)->newest_child = node->older;
    node->n = 0;
    p->n_entered--;
}
