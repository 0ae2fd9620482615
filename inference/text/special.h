/* special.h - tokens that are looked for in the text itself, before it is split and merged:
 * control tokens where the caller allows them, and user-defined ones always.
 *
 * At each position the longest one that is allowed there wins.  The tokens are kept sorted; a match
 * narrows a range of them byte by byte, so that a position costs little more than the bytes that
 * match. Read-only once made: any thread. */
#ifndef AIRSTRIP_SPECIAL_H
#define AIRSTRIP_SPECIAL_H

#include "inference/text/tokenizer.h"
#include "inference/text/vocab.h"

struct special_item {
    struct str text; /* borrowed from the vocabulary */
    int32_t id;
    bool control;     /* or unknown: only where special tokens are parsed */
    bool eats_blank;  /* white space that follows belongs to it */
    bool eats_before; /* and what goes before; this and `alone` are the caller's to see to */
    bool alone;       /* counts only where no letter or digit touches it */
};

struct special {
    struct special_item *items; /* sorted by bytes; a text comes before the longer ones it begins */
    size_t n;
    uint32_t first[257]; /* items that begin with byte c: first[c] .. first[c + 1] */
    bool user_starts[256], any_starts[256];
};

int special_init(struct special *s, const struct vocab *v, struct err *e) MUST_CHECK;

/* The same from items, which are copied; their texts are borrowed, none is empty. */
int special_init_items(struct special *s, const struct special_item *items, size_t n,
                       struct err *e) MUST_CHECK;
void special_done(struct special *s);

/* Like Phi-3's files, whose control tokens all take the white space after them along, except
 * <unk>, <s> and <|endoftext|>: no key of a GGUF file says so. */
void special_eat_blanks(struct special *s);

/* Where a search stands. */
struct special_search {
    const char *text;
    size_t len;
    bool parse;                    /* control tokens too ... */
    const struct text_span *plain; /* ... unless they touch one of these: sorted, disjoint */
    size_t n_plain;
    const char *marks; /* instead of spans: NULL, or nonzero where a byte is of one */
};

/* The next token at or after byte `from`: its item and *at; NULL when there is none.
 * Spans that end at or before `from` are taken off the search. */
const struct special_item *special_next(const struct special *s, struct special_search *search,
                                        size_t from, size_t *at);

#endif
