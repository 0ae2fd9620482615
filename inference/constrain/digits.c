/* digits.c - automata whose states are: how many digits there are, and whether they are still those
 * of the lower or of the upper bound. */
#include "inference/constrain/digits.h"

#include <stdlib.h>
#include <string.h>

#include "inference/constrain/json.h"
#include "kernels/base/json.h"

/* --- decimals --- */

static void trim(struct decimal *d)
{
    size_t zeros = 0;

    while (zeros + 1 < d->n_whole && d->whole[zeros] == '0')
        zeros++;
    memmove(d->whole, d->whole + zeros, d->n_whole - zeros);
    d->n_whole -= zeros;
    while (d->n_part > 0 && d->part[d->n_part - 1] == '0')
        d->n_part--;
}

void decimal_of(struct decimal *d, const struct value *v)
{
    double x = v->kind == VALUE_INT ? (double)v->integer : v->number;
    char text[JSON_DOUBLE_BYTES], digits[JSON_DOUBLE_BYTES];
    size_t n = 0, point = 0;
    bool seen = false;
    const char *p = text;
    long exponent = 0;

    *d = (struct decimal){ .negative = x < 0 };
    if (v->kind == VALUE_INT) {
        uint64_t u = x < 0 ? 0 - (uint64_t)v->integer : (uint64_t)v->integer;
        size_t k = sizeof text;

        text[--k] = '\0';
        do
            text[--k] = (char)('0' + u % 10);
        while (u /= 10);
        p = text + k;
    } else {
        json_format_double(text, x < 0 ? -x : x);
    }
    for (; *p && *p != 'e'; p++) {
        if (*p == '.')
            seen = true;
        else
            digits[n++] = *p;
        point += !seen;
    }
    if (*p == 'e')
        exponent = strtol(p + 1, NULL, 10);
    for (long i = (long)point + exponent; i < 0; i++) /* 0.000ddd */
        d->part[d->n_part++] = '0';
    for (size_t i = 0; i < n; i++)
        if ((long)i < (long)point + exponent)
            d->whole[d->n_whole++] = digits[i];
        else
            d->part[d->n_part++] = digits[i];
    while ((long)d->n_whole < (long)point + exponent) /* ddd000 */
        d->whole[d->n_whole++] = '0';
    if (d->n_whole == 0)
        d->whole[d->n_whole++] = '0';
    trim(d);
}

static int compare_magnitudes(const struct decimal *a, const struct decimal *b)
{
    size_t common = a->n_part < b->n_part ? a->n_part : b->n_part;
    int by;

    if (a->n_whole != b->n_whole)
        return a->n_whole < b->n_whole ? -1 : 1;
    by = memcmp(a->whole, b->whole, a->n_whole);
    if (by == 0)
        by = memcmp(a->part, b->part, common);
    if (by == 0 && a->n_part != b->n_part)
        by = a->n_part < b->n_part ? -1 : 1;
    return by;
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    return a->negative ? compare_magnitudes(b, a) : compare_magnitudes(a, b);
}

/* --- between --- */

struct builder {
    struct grammar *g;
    const struct bound *lo, *hi; /* of the magnitude; lo is set */
    struct auto_edge *edges;
    size_t n_edges, cap_edges;
    uint32_t n_states;
    bool integer, failed;
};

static void put(struct builder *b, uint32_t from, uint32_t to, char lo, char hi)
{
    if (b->n_edges == b->cap_edges) {
        size_t cap = 2 * b->cap_edges + 256;
        struct auto_edge *p = realloc(b->edges, cap * sizeof *p);

        b->failed |= !p;
        if (!p)
            return;
        b->edges = p;
        b->cap_edges = cap;
    }
    b->edges[b->n_edges++] = (struct auto_edge){ from, to, GRAMMAR_NONE, (uint8_t)lo, (uint8_t)hi };
}

static void put_end(struct builder *b, uint32_t from)
{
    put(b, from, AUTO_END, 0, 0);
    if (!b->failed)
        b->edges[b->n_edges - 1].node = grammar_empty(b->g);
}

/* After k digits behind the point (all before it are there): may it end?  low, high: they are those
 * of the bound so far. */
static bool may_end(const struct builder *b, bool low, bool high, size_t k)
{
    bool lo_rest = low && b->lo->at.n_part > k, hi_rest = high && b->hi->at.n_part > k;

    if (lo_rest || (low && b->lo->exclusive))
        return false;
    return !high || hi_rest || !b->hi->exclusive;
}

static char digit_at(const char *digits, size_t n, size_t i)
{
    return i < n ? digits[i] : '0';
}

/* The next digit lies between lowest (of low) and highest (of high); to[low][high] are the states
 * after it. */
static void put_digit(struct builder *b, uint32_t from, bool low, bool high, char l, char h,
                      char first, const uint32_t to[2][2])
{
    for (char d = first; d <= '9'; d++)
        if ((!low || d >= l) && (!high || d <= h))
            put(b, from, to[low && d == l][high && d == h], d, d);
}

/* Behind the point: levels of four states each, from `from` (those of level 0, its last digit
 * before the point). */
static void put_part(struct builder *b, const uint32_t from[2][2], size_t most)
{
    const struct decimal *lo = &b->lo->at, *hi = &b->hi->at;
    uint32_t now[2][2], next[2][2];

    for (int s = 0; s < 4; s++) {
        now[s / 2][s % 2] = b->n_states++;
        put(b, from[s / 2][s % 2], now[s / 2][s % 2], '.', '.');
    }
    for (size_t k = 0; k < most; k++) {
        for (int s = 0; s < 4; s++)
            next[s / 2][s % 2] = b->n_states++;
        for (int s = 0; s < 4; s++)
            put_digit(b, now[s / 2][s % 2], s / 2, s % 2, digit_at(lo->part, lo->n_part, k),
                      digit_at(hi->part, hi->n_part, k), '0', (const uint32_t(*)[2])next);
        for (int s = 0; s < 4; s++)
            if (may_end(b, s / 2, s % 2, k + 1))
                put_end(b, next[s / 2][s % 2]);
        memcpy(now, next, sizeof now);
    }
}

/* Numbers of n digits before the point. */
static void put_whole(struct builder *b, size_t n)
{
    const struct decimal *lo = &b->lo->at, *hi = &b->hi->at;
    uint32_t now[2][2] = { { AUTO_START, AUTO_START }, { AUTO_START, AUTO_START } }, next[2][2];
    bool low = n == lo->n_whole, high = b->hi->set && n == hi->n_whole;

    for (size_t i = 0; i < n; i++) {
        for (int s = 0; s < 4; s++)
            next[s / 2][s % 2] = b->n_states++;
        for (int s = 0; s < 4; s++)
            if (i > 0 || (s / 2 == low && s % 2 == high))
                put_digit(b, now[s / 2][s % 2], s / 2, s % 2, digit_at(lo->whole, lo->n_whole, i),
                          digit_at(hi->whole, hi->n_whole, i), i == 0 && n > 1 ? '1' : '0',
                          (const uint32_t(*)[2])next);
        memcpy(now, next, sizeof now);
    }
    for (int s = 0; s < 4; s++)
        if (may_end(b, s / 2, s % 2, 0))
            put_end(b, now[s / 2][s % 2]);
    if (!b->integer && n < DIGITS_SIGNIFICANT)
        put_part(b, (const uint32_t(*)[2])now, DIGITS_SIGNIFICANT - n);
}

/* Numbers without a sign. */
static int32_t magnitudes(struct grammar *g, const struct bound *lo, const struct bound *hi,
                          bool integer)
{
    struct builder b = { .g = g, .lo = lo, .hi = hi, .n_states = 2, .integer = integer };
    size_t most = integer ? JSON_DIGITS : DIGITS_SIGNIFICANT;
    int32_t node;

    if (most < lo->at.n_whole)
        most = lo->at.n_whole;
    if (hi->set && most > hi->at.n_whole)
        most = hi->at.n_whole;
    for (size_t n = lo->at.n_whole; n <= most && !b.failed; n++)
        put_whole(&b, n);
    if (b.failed)
        g->failed = g->no_memory = true;
    node = b.failed ? GRAMMAR_NONE : grammar_automaton(g, b.n_states, b.edges, b.n_edges);
    free(b.edges);
    return node;
}

static bool is_zero(const struct decimal *d)
{
    return d->n_part == 0 && d->n_whole == 1 && d->whole[0] == '0';
}

int32_t digits_between(struct grammar *g, const struct bound *lo, const struct bound *hi,
                       bool integer)
{
    struct bound zero = { .set = true, .at = { .n_whole = 1, .whole = "0" } }, none = { 0 };
    bool lo_below = !lo->set || lo->at.negative, hi_below = hi->set && hi->at.negative;
    int32_t up = grammar_never(g), down = grammar_never(g);

    if (!hi_below)
        up = magnitudes(g, lo_below ? &zero : lo, hi, integer);
    zero.exclusive = true; /* no -0 */
    if (lo_below && !(hi->set && is_zero(&hi->at) && lo->set && is_zero(&lo->at)))
        down = grammar_seq(g, grammar_text(g, "-"),
                           magnitudes(g, hi_below ? hi : &zero, lo->set ? lo : &none, integer));
    return grammar_alt(g, up, down);
}

/* --- multiples --- */

int32_t digits_multiples(struct grammar *g, unsigned m)
{
    /* State 2 + r: digits without a leading zero whose remainder is r. */
    struct builder b = { .g = g, .n_states = m + 2 };
    int32_t node, zero = grammar_text(g, "0");

    for (unsigned d = 1; d <= 9; d++)
        put(&b, AUTO_START, 2 + d % m, (char)('0' + d), (char)('0' + d));
    for (unsigned r = 0; r < m; r++)
        for (unsigned d = 0; d <= 9; d++)
            put(&b, 2 + r, 2 + (r * 10 + d) % m, (char)('0' + d), (char)('0' + d));
    put_end(&b, 2);
    if (b.failed)
        g->failed = g->no_memory = true;
    node = b.failed ? GRAMMAR_NONE
                    : grammar_alt(g, zero, grammar_automaton(g, b.n_states, b.edges, b.n_edges));
    free(b.edges);
    return grammar_seq(g, grammar_optional(g, grammar_text(g, "-")), node);
}
