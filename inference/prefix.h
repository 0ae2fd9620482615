/* prefix.h - which page of keys and values holds which tokens after which page.
 *
 * A radix tree whose edges are pages: keys and values of a position depend on all tokens up to it,
 * so a page is known by the page before it (exactly one of those entered, or none) and its own
 * tokens.  Full pages may have others after them and are found by hash; the last page of a text may
 * be entered with fewer tokens, and is a leaf.  Children of a page are also listed, to find the one
 * that a text agrees with longest.
 * This is only the index; who uses a page, and when one is given up, is kvcache's affair.  A page
 * is entered once at most, so nothing is allocated after opening.  Owned by the engine thread. */
#ifndef AIRSTRIP_PREFIX_H
#define AIRSTRIP_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/err.h"

enum { PREFIX_NONE = -1 }; /* no page; as a parent: nothing comes before */

struct prefix_node {
    int32_t parent, next; /* next: of its chain, or PREFIX_NONE */
    int32_t older, newer; /* other children of its parent */
    int32_t newest_child;
    uint32_t bucket;
    uint32_t n; /* tokens it is entered with, 1 .. page_tokens; 0: it is not entered */
};

struct prefix {
    size_t n_pages, page_tokens;
    size_t n_entered;
    int32_t *tokens;           /* [n_pages, page_tokens], of entered pages */
    struct prefix_node *nodes; /* [n_pages + 1]; the last one stands for the root: children only */
    int32_t *buckets;          /* [mask + 1] heads of chains */
    uint32_t mask;
    uint64_t seed; /* of the hash: clients choose the tokens */
};

int prefix_open(struct prefix *p, size_t n_pages, size_t page_tokens, struct err *e) MUST_CHECK;
void prefix_close(struct prefix *p); /* a zeroed one is fine */

/* The full page that holds ids[0 .. page_tokens) right after parent; PREFIX_NONE: there is none. */
int32_t prefix_find(const struct prefix *p, int32_t parent, const int32_t *ids);

/* The page after parent, full or not, that begins with most of ids[0 .. n), and in *n_same with how
 * many; PREFIX_NONE with 0.  Looks at the 4096 youngest at most. */
int32_t prefix_match(const struct prefix *p, int32_t parent, const int32_t *ids, size_t n,
                     size_t *n_same);

/* Enters a page that is not entered, n tokens of it; a full one under a key that prefix_find() does
 * not know.  ids are copied. */
void prefix_enter(struct prefix *p, int32_t parent, const int32_t *ids, size_t n, int32_t page);

/* Nothing may be entered after that page any more: its number will mean other tokens. */
void prefix_forget(struct prefix *p, int32_t page);

static inline bool prefix_has(const struct prefix *p, int32_t page)
{
    return p->nodes[page].n > 0;
}

#endif
