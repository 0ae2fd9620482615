#include "inference/text/template/textops.h"

#include <string.h>

#include "inference/text/template/char.h"

static void put_upper(struct render *r, struct tbuf *b, uint32_t c)
{
    if (c == 0xdf)
        tbuf_puts(r, b, "SS");
    else
        tbuf_char(r, b, char_upper(c), false);
}

int text_case(struct render *r, const struct tstr *s, enum text_case how, struct tval *out)
{
    struct tbuf b = { .markup = s->markup && how != CASE_WORDS };
    bool inside = false; /* a word that has begun */

    TRY(run_charge_bytes(r, s->len));
    for (size_t i = 0; i < s->len;) {
        uint32_t c;
        size_t n = tstr_char_at(s, i, &c);
        bool upper =
            how == CASE_UPPER || (how == CASE_SWAP && !char_is_upper(c)) ||
            ((how == CASE_CAPITALIZE || how == CASE_TITLE || how == CASE_WORDS) && !inside);

        if (c == 0xfffd)
            tbuf_put(r, &b, s->data + i, n, false);
        else if (upper && !(how == CASE_SWAP && !char_is_lower(c)))
            put_upper(r, &b, c);
        else
            tbuf_char(r, &b, char_lower(c), false);
        i += n;
        if (how == CASE_TITLE)
            inside = char_is_alpha(c);
        else if (how == CASE_WORDS)
            inside = !char_is_space(c) && !(c < 0x80 && c && strchr("-({[<", (int)c));
        else
            inside = true;
    }
    return tbuf_derived(r, &b, tstr_tainted(s), out);
}

int text_replace(struct render *r, const struct tstr *s, const struct tstr *old,
                 const struct tstr *new, int64_t count, struct tval *out)
{
    struct tbuf b = { .markup = s->markup };
    size_t at = 0, done = 0;
    struct tval escaped;

    if (s->markup) {
        TRY(tstr_escape(r, new, &escaped));
        new = escaped.s;
    }
    TRY(run_charge_bytes(r, s->len));
    while (count != 0 && !b.failed) {
        struct tval piece;
        size_t hit = tstr_find(s, old->data, old->len, at);
        uint32_t c;

        if (hit == SIZE_MAX)
            break;
        TRY(run_charge(r, 1));
        if (old->len == 0 && at > 0) { /* '' stands between all characters */
            if (done >= s->len)
                break;
        }
        TRY(tstr_slice(r, s, done, hit, &piece));
        tbuf_str(r, &b, piece.s);
        tbuf_str(r, &b, new);
        count -= count > 0;
        done = hit + old->len;
        at = done;
        if (old->len == 0) {
            if (hit >= s->len)
                break;
            at = hit + tstr_char_at(s, hit, &c);
            TRY(tstr_slice(r, s, hit, at, &piece));
            tbuf_str(r, &b, piece.s);
            done = at;
            if (at >= s->len && count != 0) {
                tbuf_str(r, &b, new);
                break;
            }
        }
    }
    if (!b.failed && done < s->len) {
        struct tval rest;

        TRY(tstr_slice(r, s, done, s->len, &rest));
        tbuf_str(r, &b, rest.s);
    }
    if (tstr_tainted(s))
        return tbuf_derived(r, &b, true, out);
    return tbuf_done(r, &b, out);
}

int text_join(struct render *r, const struct tstr *sep, const struct tval *items, size_t n,
              bool convert, struct tval *out)
{
    struct tbuf b = { .markup = sep->markup && !convert };

    TRY(run_charge(r, n / 4));
    for (size_t i = 0; i < n && !b.failed; i++) {
        if (i)
            tbuf_str(r, &b, sep);
        if (!convert && items[i].kind == T_UNDEFINED)
            return tval_trip(r, items[i]);
        if (!convert && items[i].kind != T_STRING)
            return run_fail(r, "sequence item %zu: expected str instance, %s found", i,
                            tval_type(items[i]));
        if (b.markup) {
            struct tval escaped;

            TRY(tstr_escape(r, items[i].s, &escaped));
            tbuf_str(r, &b, escaped.s);
        } else {
            TRY(tval_print(r, &b, items[i]));
        }
    }
    return tbuf_done(r, &b, out);
}

static bool strips(const struct tstr *chars, const struct tstr *s, size_t at, size_t n, uint32_t c)
{
    if (!chars)
        return char_is_space(c);
    for (size_t i = 0; i < chars->len;) {
        uint32_t other;
        size_t m = tstr_char_at(chars, i, &other);

        if (m == n && memcmp(chars->data + i, s->data + at, n) == 0)
            return true;
        i += m;
    }
    return false;
}

int text_strip(struct render *r, const struct tstr *s, const struct tstr *chars, bool left,
               bool right, struct tval *out)
{
    size_t start = 0, end = s->len;
    uint32_t c;

    while (left && start < end) {
        size_t n = tstr_char_at(s, start, &c);

        if (!strips(chars, s, start, n, c))
            break;
        start += n;
    }
    while (right && end > start) {
        size_t at = end - 1;

        while (at > start && end - at < 4 && ((unsigned char)s->data[at] & 0xc0) == 0x80)
            at--;
        if (tstr_char_at(s, at, &c) != end - at)
            at = end - 1; /* not UTF-8: a byte on its own */
        (void)tstr_char_at(s, at, &c);
        if (!strips(chars, s, at, end - at, c))
            break;
        end = at;
    }
    TRY(run_charge(r, (start + s->len - end) * (chars ? chars->len + 1 : 1) / 64));
    return tstr_slice(r, s, start, end, out);
}

/* Adds s[start, end) to a list that grows. */
static int add_piece(struct render *r, struct tlist *l, size_t *cap, const struct tstr *s,
                     size_t start, size_t end)
{
    TRY(run_charge(r, 1));
    if (l->len == *cap) {
        size_t more = *cap ? *cap * 2 : 4;
        struct tval *p = run_alloc(r, more, sizeof *p);

        if (!p)
            return ERR_LIMIT;
        if (l->len)
            memcpy(p, l->items, l->len * sizeof *p);
        l->items = p;
        *cap = more;
    }
    return tstr_slice(r, s, start, end, &l->items[l->len++]);
}

static void reverse(struct tlist *l)
{
    for (size_t i = 0; i < l->len / 2; i++) {
        struct tval t = l->items[i];

        l->items[i] = l->items[l->len - 1 - i];
        l->items[l->len - 1 - i] = t;
    }
}

/* The next run of characters that are no blanks, in [*start, *end); false where there is none. */
static bool next_word(const struct tstr *s, size_t from, size_t *start, size_t *end)
{
    uint32_t c;
    size_t n;

    for (*start = from; *start < s->len; *start += n) {
        n = tstr_char_at(s, *start, &c);
        if (!char_is_space(c))
            break;
    }
    for (*end = *start; *end < s->len; *end += n) {
        n = tstr_char_at(s, *end, &c);
        if (char_is_space(c))
            break;
    }
    return *start < *end;
}

static int split_words(struct render *r, const struct tstr *s, int64_t max, bool from_right,
                       struct tval *out)
{
    size_t cap = 0, start = 0, end = 0, words = 0, head = 0;

    for (size_t at = 0; next_word(s, at, &start, &end); at = end)
        words++;
    if (from_right && max >= 0 && words > (size_t)max)
        head = words -
               (size_t)max; /* the first words that stay together, with the blanks around them */
    for (size_t at = 0, i = 0; next_word(s, at, &start, &end); at = end, i++) {
        if (i + 1 < head)
            continue;
        if (head && i + 1 == head)
            start = 0;
        if (!from_right && max >= 0 && i == (size_t)max)
            end = s->len; /* the rest as it is */
        TRY(add_piece(r, out->list, &cap, s, start, end));
    }
    return 0;
}

static size_t find_last(const struct tstr *s, const struct tstr *what, size_t end)
{
    for (size_t at = end; at >= what->len; at--) {
        if (memcmp(s->data + at - what->len, what->data, what->len) == 0)
            return at - what->len;
    }
    return SIZE_MAX;
}

int text_split(struct render *r, const struct tstr *s, const struct tstr *sep, int64_t max,
               bool from_right, struct tval *out)
{
    size_t cap = 0, at = from_right ? s->len : 0;

    TRY(run_charge_bytes(r, s->len));
    TRY(tval_list(r, LIST_LIST, 0, out));
    if (!sep)
        return split_words(r, s, max, from_right, out);
    if (sep->len == 0)
        return run_fail(r, "empty separator");
    for (; max != 0; max -= max > 0) {
        size_t hit = from_right ? find_last(s, sep, at) : tstr_find(s, sep->data, sep->len, at);

        if (hit == SIZE_MAX)
            break;
        TRY(add_piece(r, out->list, &cap, s, from_right ? hit + sep->len : at,
                      from_right ? at : hit));
        at = from_right ? hit : hit + sep->len;
    }
    TRY(add_piece(r, out->list, &cap, s, from_right ? 0 : at, from_right ? at : s->len));
    if (from_right)
        reverse(out->list);
    return 0;
}

static bool ends_line(uint32_t c)
{
    return (c >= '\n' && c <= '\r') || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

int text_lines(struct render *r, const struct tstr *s, bool keep_ends, struct tval *out)
{
    size_t cap = 0, start = 0;

    TRY(run_charge_bytes(r, s->len));
    TRY(tval_list(r, LIST_LIST, 0, out));
    for (size_t i = 0; i < s->len;) {
        uint32_t c;
        size_t n = tstr_char_at(s, i, &c), end = i;

        i += n;
        if (!ends_line(c))
            continue;
        if (c == '\r' && i < s->len && s->data[i] == '\n')
            i++;
        TRY(add_piece(r, out->list, &cap, s, start, keep_ends ? i : end));
        start = i;
    }
    return start < s->len ? add_piece(r, out->list, &cap, s, start, s->len) : 0;
}

int text_pad(struct render *r, const struct tstr *s, int64_t width, uint32_t fill, char where,
             struct tval *out)
{
    struct tbuf b = { .markup = s->markup };
    int64_t missing, left;

    TRY(run_charge_bytes(r, s->len));
    missing = width - (int64_t)tstr_chars(s);
    if (width <= 0 || missing < 0)
        missing = 0;
    TRY(run_charge(r, (size_t)missing / 8));
    left = missing / 2 + (where == 'c' ? missing & width & 1 : 0);
    if (where == 'l' || where == 'r')
        left = where == 'l' ? 0 : missing;
    for (int64_t i = 0; i < left && !b.failed; i++)
        tbuf_char(r, &b, fill, false);
    tbuf_str(r, &b, s);
    for (int64_t i = left; i < missing && !b.failed; i++)
        tbuf_char(r, &b, fill, false);
    return tbuf_done(r, &b, out);
}
