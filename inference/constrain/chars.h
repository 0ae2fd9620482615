/* chars.h - sets of characters, and what one of them looks like in a text or inside a JSON string.
 */
#ifndef AIRSTRIP_CONSTRAIN_CHARS_H
#define AIRSTRIP_CONSTRAIN_CHARS_H

#include "inference/constrain/grammar.h"

enum { MAX_RANGES = 256 };

struct char_set {
    struct code_range ranges[MAX_RANGES];
    size_t n;
    bool full; /* more ranges than there is room for */
};

void char_set_add(struct char_set *s, uint32_t lo, uint32_t hi);
/* Sorted, and no two ranges that overlap or touch. */
void char_set_tidy(struct char_set *s);
void char_set_invert(struct char_set *s);
bool char_set_has(const struct char_set *s, uint32_t cp);

enum char_style {
    CHARS_PLAIN,  /* as UTF-8 */
    CHARS_QUOTED, /* as between the quotes of a JSON string: escaped where it must be, and only
                     there */
};

/* One character of the set. */
int32_t chars_node(struct grammar *g, struct char_set *s, enum char_style style);

/* A text, one way of writing it. */
int32_t chars_text(struct grammar *g, const char *s, size_t len, enum char_style style);

#endif
