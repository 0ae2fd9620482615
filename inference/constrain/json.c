#include "inference/constrain/json.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/json.h"

enum { MAX_DEPTH = 100 }; /* of literals */

static int32_t seq3(struct grammar *g, int32_t a, int32_t b, int32_t c)
{
    return grammar_seq(g, a, grammar_seq(g, b, c));
}

/* A rule that is this node, and a call of it. */
static int32_t shared(struct grammar *g, int32_t node)
{
    int32_t rule = grammar_rule(g);

    grammar_define(g, rule, node);
    return grammar_call(g, rule);
}

static int32_t one_of(struct grammar *g, const char *chars)
{
    struct char_set s = { 0 };

    for (; *chars; chars++)
        char_set_add(&s, (unsigned char)*chars, (unsigned char)*chars);
    return chars_node(g, &s, CHARS_PLAIN);
}

static int32_t range(struct grammar *g, char lo, char hi)
{
    const struct code_range r = { (unsigned char)lo, (unsigned char)hi };

    return grammar_class(g, &r, 1);
}

static int32_t digits(struct grammar *g, size_t min, size_t max)
{
    return grammar_repeat(g, range(g, '0', '9'), min, max);
}

static int32_t space(struct grammar *g)
{
    int32_t indent = grammar_repeat(g, one_of(g, " \t"), 0, JSON_INDENT);

    return shared(g,
                  grammar_optional(g, grammar_alt(g, grammar_text(g, " "),
                                                  grammar_seq(g, grammar_text(g, "\n"), indent))));
}

/* -?(0|[1-9][0-9]*), as many digits as are allowed. */
static int32_t integer(struct grammar *g)
{
    int32_t whole = grammar_alt(g, grammar_text(g, "0"),
                                grammar_seq(g, range(g, '1', '9'), digits(g, 0, JSON_DIGITS - 1)));

    return grammar_seq(g, grammar_optional(g, grammar_text(g, "-")), whole);
}

static int32_t number(struct grammar *g)
{
    int32_t fraction = grammar_seq(g, grammar_text(g, "."), digits(g, 1, JSON_DIGITS));
    int32_t exponent =
        seq3(g, one_of(g, "eE"), grammar_optional(g, one_of(g, "+-")), digits(g, 1, 2));

    return seq3(g, integer(g), grammar_optional(g, fraction), grammar_optional(g, exponent));
}

static int32_t hex_digits(struct grammar *g, size_t n)
{
    static const struct code_range hex[] = { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } };

    return grammar_repeat(g, grammar_class(g, hex, 3), n, n);
}

/* \uXXXX: any code unit but a lone surrogate. */
static int32_t code_unit(struct grammar *g)
{
    static const struct code_range below_d[] = {
        { '0', '9' }, { 'A', 'C' }, { 'E', 'F' }, { 'a', 'c' }, { 'e', 'f' }
    };
    int32_t d = one_of(g, "dD");
    int32_t plain = grammar_alt(g, grammar_seq(g, grammar_class(g, below_d, 5), hex_digits(g, 3)),
                                seq3(g, d, range(g, '0', '7'), hex_digits(g, 2)));
    int32_t high = seq3(g, d, one_of(g, "89abAB"), hex_digits(g, 2));
    int32_t low = seq3(g, d, one_of(g, "cdefCDEF"), hex_digits(g, 2));

    return grammar_alt(g, plain, seq3(g, high, grammar_text(g, "\\u"), low));
}

/* A string as JSON has it (RFC 8259, section 7). */
static int32_t string(struct grammar *g)
{
    static const struct code_range plain[] = { { 0x20, '"' - 1 },
                                               { '"' + 1, '\\' - 1 },
                                               { '\\' + 1, 0x10ffff } };
    int32_t letter = one_of(g, "\"\\/bfnrt");
    int32_t unit = grammar_seq(g, grammar_text(g, "u"), code_unit(g));
    int32_t escape = grammar_seq(g, grammar_text(g, "\\"), grammar_alt(g, letter, unit));
    int32_t body =
        grammar_repeat(g, grammar_alt(g, grammar_class(g, plain, 3), escape), 0, GRAMMAR_UNBOUNDED);

    return seq3(g, grammar_text(g, "\""), body, grammar_text(g, "\""));
}

int32_t json_colon(struct json *j)
{
    /* nobody breaks the line here, but a small model that may would */
    return grammar_seq(j->g, grammar_text(j->g, ":"),
                       grammar_optional(j->g, grammar_text(j->g, " ")));
}

int32_t json_comma(struct json *j)
{
    return grammar_seq(j->g, grammar_text(j->g, ","), j->space);
}

int32_t json_braced(struct json *j, const char *open, int32_t items, bool empty, const char *close)
{
    struct grammar *g = j->g;
    int32_t end = grammar_text(g, close);
    int32_t full = seq3(g, items, j->space, end);

    return seq3(g, grammar_text(g, open), j->space, empty ? grammar_alt(g, end, full) : full);
}

/* Items with commas between them, one at least. */
static int32_t list(struct json *j, int32_t item)
{
    int32_t more = grammar_seq(j->g, json_comma(j), item);

    return grammar_seq(j->g, item, grammar_repeat(j->g, more, 0, GRAMMAR_UNBOUNDED));
}

void json_init(struct json *j, struct grammar *g)
{
    struct char_set all = { 0 };
    int32_t value = grammar_rule(g), parts[7];

    char_set_add(&all, 0, 0x10ffff);
    *j = (struct json){ .g = g };
    j->space = space(g);
    j->null = grammar_text(g, "null");
    j->boolean = grammar_alt(g, grammar_text(g, "true"), grammar_text(g, "false"));
    j->integer = shared(g, integer(g));
    j->number = shared(g, number(g));
    j->string = shared(g, string(g));
    j->value = grammar_call(g, value);
    j->character = chars_node(g, &all, CHARS_QUOTED);
    j->array = shared(g, json_braced(j, "[", list(j, j->value), true, "]"));
    j->object = shared(g, json_braced(j, "{", list(j, seq3(g, j->string, json_colon(j), j->value)),
                                      true, "}"));
    j->block = shared(g, grammar_repeat(g, j->character, JSON_BLOCK, JSON_BLOCK));
    j->part = shared(g, grammar_repeat(g, j->character, 0, JSON_BLOCK - 1));
    memcpy(parts, (int32_t[]){ j->null, j->boolean, j->number, j->string, j->array, j->object },
           6 * sizeof *parts);
    grammar_define(g, value, grammar_alt_all(g, parts, 6));
}

int32_t json_quoted(struct json *j, int32_t characters)
{
    return seq3(j->g, grammar_text(j->g, "\""), characters, grammar_text(j->g, "\""));
}

/* At most max characters, by blocks: all but the last are full. */
static int32_t at_most(struct json *j, size_t max)
{
    size_t blocks = max / JSON_BLOCK, rest = max % JSON_BLOCK;
    int32_t last = grammar_repeat(j->g, j->character, 0, rest), full;

    if (blocks == 0)
        return last;
    full = grammar_repeat(j->g, j->block, blocks, blocks);
    return grammar_alt(j->g,
                       grammar_seq(j->g, grammar_repeat(j->g, j->block, 0, blocks - 1), j->part),
                       grammar_seq(j->g, full, last));
}

int32_t json_characters(struct json *j, size_t min, size_t max, bool flat)
{
    struct grammar *g = j->g;
    int32_t head, rest;

    if (max < min)
        return grammar_never(g);
    if (flat || (min <= JSON_BLOCK && (max == GRAMMAR_UNBOUNDED || max <= 2 * JSON_BLOCK)))
        return grammar_repeat(g, j->character, min, max);
    rest = grammar_repeat(g, j->character, min % JSON_BLOCK, min % JSON_BLOCK);
    head = grammar_seq(g, grammar_repeat(g, j->block, min / JSON_BLOCK, min / JSON_BLOCK), rest);
    if (max == GRAMMAR_UNBOUNDED)
        return grammar_seq(g, head, grammar_repeat(g, j->character, 0, GRAMMAR_UNBOUNDED));
    return grammar_seq(g, head, at_most(j, max - min));
}

int32_t json_text(struct json *j, const char *s, size_t len)
{
    return json_quoted(j, chars_text(j->g, s, len, CHARS_QUOTED));
}

static int32_t literal(struct json *j, const struct value *v, int depth);

static int32_t literal_items(struct json *j, const struct value *v, int depth)
{
    bool map = v->kind == VALUE_MAP;
    size_t n = map ? v->map.len : v->list.len;
    int32_t items = grammar_empty(j->g);

    for (size_t i = n; i-- > 0;) { /* from the end, so that it leans to the right */
        int32_t item = literal(j, map ? v->map.pairs[i].value : v->list.items[i], depth + 1);

        if (map)
            item = seq3(j->g, json_text(j, v->map.pairs[i].key, v->map.pairs[i].key_len),
                        json_colon(j), item);
        items = i + 1 < n ? seq3(j->g, item, json_comma(j), items) : item;
    }
    return n ? json_braced(j, map ? "{" : "[", items, false, map ? "}" : "]")
             : grammar_text(j->g, map ? "{}" : "[]");
}

static int32_t literal(struct json *j, const struct value *v, int depth)
{
    char text[JSON_DOUBLE_BYTES];

    switch (v->kind) {
    case VALUE_NULL:
        return j->null;
    case VALUE_BOOL:
        return grammar_text(j->g, v->boolean ? "true" : "false");
    case VALUE_INT:
        snprintf(text, sizeof text, "%lld", (long long)v->integer);
        return grammar_text(j->g, text);
    case VALUE_FLOAT:
        json_format_double(text, v->number);
        return grammar_text(j->g, text);
    case VALUE_STRING:
        return json_text(j, v->string.data, v->string.len);
    case VALUE_LIST:
    case VALUE_MAP:
        return depth > MAX_DEPTH ? GRAMMAR_NONE : literal_items(j, v, depth);
    }
    return GRAMMAR_NONE;
}

int32_t json_literal(struct json *j, const struct value *v)
{
    return literal(j, v, 0);
}
