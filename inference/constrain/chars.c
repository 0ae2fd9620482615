#include "inference/constrain/chars.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

enum { LAST_CODE = 0x10ffff };

void char_set_add(struct char_set *s, uint32_t lo, uint32_t hi)
{
    if (hi > LAST_CODE)
        hi = LAST_CODE;
    if (lo > hi)
        return;
    if (s->n == MAX_RANGES) {
        char_set_tidy(s);
        if (s->n == MAX_RANGES) {
            s->full = true;
            return;
        }
    }
    s->ranges[s->n++] = (struct code_range){ lo, hi };
}

static int by_low(const void *a, const void *b)
{
    const struct code_range *x = a, *y = b;

    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

void char_set_tidy(struct char_set *s)
{
    size_t n = 0;

    qsort(s->ranges, s->n, sizeof *s->ranges, by_low);
    for (size_t i = 0; i < s->n; i++) {
        struct code_range r = s->ranges[i];

        if (n > 0 && r.lo <= s->ranges[n - 1].hi + 1) {
            if (r.hi > s->ranges[n - 1].hi)
                s->ranges[n - 1].hi = r.hi;
        } else {
            s->ranges[n++] = r;
        }
    }
    s->n = n;
}

void char_set_invert(struct char_set *s)
{
    struct char_set out = { .full = s->full };
    uint32_t from = 0;

    char_set_tidy(s);
    for (size_t i = 0; i < s->n; i++) {
        if (s->ranges[i].lo > from)
            char_set_add(&out, from, s->ranges[i].lo - 1);
        from = s->ranges[i].hi + 1;
    }
    char_set_add(&out, from, LAST_CODE);
    *s = out;
}

bool char_set_has(const struct char_set *s, uint32_t cp)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->ranges[i].lo <= cp && cp <= s->ranges[i].hi)
            return true;
    return false;
}

/* How a character is written in a JSON string where it cannot stand for itself; NULL where it can.
 */
static const char *escape_of(uint32_t cp, char buf[static 8])
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (size_t i = 0; i + 1 < sizeof letters; i += 2)
        if ((unsigned char)letters[i] == cp) {
            snprintf(buf, 8, "\\%c", letters[i + 1]);
            return buf;
        }
    if (cp >= 0x20)
        return NULL;
    snprintf(buf, 8, "\\u%04x", (unsigned)cp);
    return buf;
}

int32_t chars_node(struct grammar *g, struct char_set *s, enum char_style style)
{
    struct char_set plain = { 0 };
    int32_t node;
    char buf[8];

    char_set_tidy(s);
    if (style == CHARS_PLAIN)
        return grammar_class(g, s->ranges, s->n);
    char_set_add(&plain, 0, 0x1f);
    char_set_add(&plain, '"', '"');
    char_set_add(&plain, '\\', '\\');
    for (size_t i = 0; i < s->n; i++) { /* the complement of the set, to be inverted */
        uint32_t from = i ? s->ranges[i - 1].hi + 1 : 0;

        if (s->ranges[i].lo > from)
            char_set_add(&plain, from, s->ranges[i].lo - 1);
    }
    if (s->n == 0 || s->ranges[s->n - 1].hi < LAST_CODE)
        char_set_add(&plain, s->n ? s->ranges[s->n - 1].hi + 1 : 0, LAST_CODE);
    char_set_invert(&plain);
    node = grammar_class(g, plain.ranges, plain.n);
    for (uint32_t cp = 0; cp <= '\\'; cp++)
        if (char_set_has(s, cp) && escape_of(cp, buf))
            node = grammar_alt(g, grammar_text(g, buf), node);
    return node;
}

int32_t chars_text(struct grammar *g, const char *s, size_t len, enum char_style style)
{
    int32_t node = grammar_empty(g);
    size_t from = 0;
    char buf[8];

    for (size_t i = 0; style == CHARS_QUOTED && i < len; i++) {
        const char *escape = escape_of((unsigned char)s[i], buf);

        if (!escape)
            continue;
        node = grammar_seq(g, node, grammar_bytes(g, s + from, i - from));
        node = grammar_seq(g, node, grammar_text(g, escape));
        from = i + 1;
    }
    return grammar_seq(g, node, grammar_bytes(g, s + from, len - from));
}
