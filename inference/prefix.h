/* prefix.h - which page of keys and values holds which tokens after which page.
 *
 * Keys and values of a position depend on all tokens up to it, so a full page is known by the page
 * before it (exactly one of those entered, or none) and its own tokens.  This is only the index;
 * who uses a page, and when one is given up, is kvcache's affair.  A page is entered once at most,
 * so nothing is allocated after opening.  Owned by the engine thread. */
#ifndef AIRSTRIP_PREFIX_H
#define AIRSTRIP_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/err.h"

enum { PREFIX_NONE = -1 }; /* no page; as a parent: nothing comes before */

struct prefix_node {
    int32_t parent, next; /* next: of its chain, or PREFIX_NONE */
    uint32_t bucket;
    bool entered;
};

struct prefix {
    size_t n_pages, page_tokens;
    size_t n_entered;
    int32_t *tokens;           /* [n_pages, page_tokens], of entered pages */
    struct prefix_node *nodes; /* [n_pages] */
    int32_t *buckets;          /* [mask + 1] heads of chains */
    uint32_t mask;
    uint64_t seed; /* of the hash: clients choose the tokens */
};

int prefix_open(struct prefix *p, size_t n_pages, size_t page_tokens, struct err *e) MUST_CHECK;
void prefix_close(struct prefix *p); /* a zeroed one is fine */

/* The page that holds ids[0 .. page_tokens) right after parent; PREFIX_NONE: there is none. */
int32_t prefix_find(const struct prefix *p, int32_t parent, const int32_t *ids);

/* Enters a page that is not entered, under a key that prefix_find() does not know.  ids are copied.
 */
void prefix_enter(struct prefix *p, int32_t parent, const int32_t *ids, int32_t page);

/* Nothing may be entered after that page any more: its number will mean other tokens. */
void prefix_forget(struct prefix *p, int32_t page);

static inline bool prefix_has(const struct prefix *p, int32_t page)
{
    return p->nodes[page].entered;
}

#endif
