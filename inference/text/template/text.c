#include "inference/text/template/text.h"

#include <string.h>

#include "inference/text/template/run.h"
#include "kernels/base/utf8.h"

bool tstr_equal(const struct tstr *s, const char *data, size_t len)
{
    return s->len == len && (len == 0 || memcmp(s->data, data, len) == 0);
}

bool tstr_is(const struct tstr *s, const char *text)
{
    return tstr_equal(s, text, strlen(text));
}

size_t tstr_char_at(const struct tstr *s, size_t at, uint32_t *cp)
{
    size_t n = utf8_decode(s->data + at, s->len - at, cp);

    return n ? n : 1;
}

size_t tstr_chars(const struct tstr *s)
{
    size_t n = 0;
    uint32_t cp;

    for (size_t i = 0; i < s->len; n++)
        i += tstr_char_at(s, i, &cp);
    return n;
}

size_t tstr_offset(const struct tstr *s, size_t n)
{
    size_t i = 0;
    uint32_t cp;

    for (; n && i < s->len; n--)
        i += tstr_char_at(s, i, &cp);
    return i;
}

static int wrap(struct render *r, struct tstr text, struct tval *out)
{
    struct tstr *s = run_alloc(r, 1, sizeof *s);

    if (!s)
        return ERR_LIMIT;
    *s = text;
    *out = (struct tval){ .kind = T_STRING, .s = s };
    return 0;
}

int tstr_borrow(struct render *r, const char *data, size_t len, bool untrusted, struct tval *out)
{
    return wrap(r, (struct tstr){ .data = data, .len = len, .untrusted = untrusted }, out);
}

int tstr_copy(struct render *r, const char *data, size_t len, bool untrusted, struct tval *out)
{
    char *copy = run_alloc(r, len + 1, 1);

    if (!copy)
        return ERR_LIMIT;
    if (len)
        memcpy(copy, data, len);
    return tstr_borrow(r, copy, len, untrusted, out);
}

/* The first span that ends behind `at`. */
static size_t first_span(const struct tstr *s, size_t at)
{
    size_t low = 0, high = s->n_spans;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (s->spans[mid].end > at)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

int tstr_slice(struct render *r, const struct tstr *s, size_t start, size_t end, struct tval *out)
{
    struct tstr part = {
        .data = s->data + start, .len = end - start, .untrusted = s->untrusted, .markup = s->markup
    };
    size_t first = first_span(s, start), n = 0;
    struct text_span *spans;

    while (first + n < s->n_spans && s->spans[first + n].start < end)
        n++;
    if (n) {
        spans = run_alloc(r, n, sizeof *spans);
        if (!spans)
            return ERR_LIMIT;
        for (size_t i = 0; i < n; i++) {
            const struct text_span *from = &s->spans[first + i];

            spans[i].start = from->start > start ? from->start - start : 0;
            spans[i].end = (from->end < end ? from->end : end) - start;
        }
        part.spans = spans;
        part.n_spans = n;
    }
    return wrap(r, part, out);
}

int tstr_plain(struct render *r, const struct tstr *s, size_t start, size_t end, struct tval *out)
{
    struct tstr plain = *s;

    plain.markup = false;
    return tstr_slice(r, &plain, start, end, out);
}

size_t tstr_find(const struct tstr *s, const char *what, size_t len, size_t from)
{
    const char *p;

    if (from > s->len)
        return SIZE_MAX;
    if (len == 0)
        return from;
    p = memmem(s->data + from, s->len - from, what, len);
    return p ? (size_t)(p - s->data) : SIZE_MAX;
}

/* Room for `extra` bytes behind len. */
static bool grow(struct render *r, struct tbuf *b, size_t extra)
{
    size_t cap;
    char *p;

    if (b->failed)
        return false;
    if (extra <= b->cap - b->len)
        return true;
    if (extra > SIZE_MAX / 4 || b->cap > SIZE_MAX / 4)
        goto fail;
    cap = b->cap * 2 > b->len + extra ? b->cap * 2 : b->len + extra + 32;
    p = run_alloc(r, cap, 1);
    if (!p)
        goto fail;
    if (b->len)
        memcpy(p, b->data, b->len);
    b->data = p;
    b->cap = cap;
    return true;
fail:
    b->failed = true;
    return false;
}

static void mark(struct render *r, struct tbuf *b, size_t start, size_t end)
{
    if (b->failed || start == end)
        return;
    if (b->n_spans && b->spans[b->n_spans - 1].end == start) {
        b->spans[b->n_spans - 1].end = end;
        return;
    }
    if (b->n_spans == b->cap_spans) {
        size_t cap = b->cap_spans ? b->cap_spans * 2 : 4;
        struct text_span *p = run_alloc(r, cap, sizeof *p);

        if (!p) {
            b->failed = true;
            return;
        }
        if (b->n_spans)
            memcpy(p, b->spans, b->n_spans * sizeof *p);
        b->spans = p;
        b->cap_spans = cap;
    }
    b->spans[b->n_spans++] = (struct text_span){ start, end };
}

void tbuf_put(struct render *r, struct tbuf *b, const char *data, size_t len, bool untrusted)
{
    if (!len || !grow(r, b, len))
        return;
    memcpy(b->data + b->len, data, len);
    if (untrusted)
        mark(r, b, b->len, b->len + len);
    b->len += len;
}

void tbuf_puts(struct render *r, struct tbuf *b, const char *s)
{
    tbuf_put(r, b, s, strlen(s), false);
}

void tbuf_str(struct render *r, struct tbuf *b, const struct tstr *s)
{
    size_t base = b->len;

    tbuf_put(r, b, s->data, s->len, s->untrusted);
    if (b->failed)
        return;
    for (size_t i = 0; i < s->n_spans; i++)
        mark(r, b, base + s->spans[i].start, base + s->spans[i].end);
}

void tbuf_char(struct render *r, struct tbuf *b, uint32_t cp, bool untrusted)
{
    char bytes[4];

    tbuf_put(r, b, bytes, utf8_encode(bytes, cp), untrusted);
}

int tbuf_done(struct render *r, struct tbuf *b, struct tval *out)
{
    struct tstr s = { .data = b->data ? b->data : "", .len = b->len, .markup = b->markup };

    if (b->failed)
        return run_full(r);
    if (b->n_spans == 1 && b->spans[0].start == 0 && b->spans[0].end == b->len) {
        s.untrusted = true;
    } else {
        s.spans = b->spans;
        s.n_spans = b->n_spans;
    }
    return wrap(r, s, out);
}

int tbuf_derived(struct render *r, struct tbuf *b, bool tainted, struct tval *out)
{
    if (b->failed)
        return run_full(r);
    return wrap(r,
                (struct tstr){ .data = b->data ? b->data : "",
                               .len = b->len,
                               .untrusted = tainted || b->n_spans,
                               .markup = b->markup },
                out);
}

int tstr_escape(struct render *r, const struct tstr *s, struct tval *out)
{
    static const struct {
        char c;
        const char *text;
    } entities[] = {
        { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&#34;" }, { '\'', "&#39;" },
    };
    struct tbuf b = { .markup = true };
    size_t plain = 0;

    *out = (struct tval){ .kind = T_STRING, .s = s };
    if (s->markup)
        return 0;
    TRY(run_charge_bytes(r, s->len));
    for (size_t i = 0; i < s->len; i++) {
        for (size_t k = 0; k < sizeof entities / sizeof *entities; k++) {
            if (s->data[i] != entities[k].c)
                continue;
            tbuf_put(r, &b, s->data + plain, i - plain, false);
            tbuf_puts(r, &b, entities[k].text);
            plain = i + 1;
        }
    }
    tbuf_put(r, &b, s->data + plain, s->len - plain, false);
    return tbuf_derived(r, &b, tstr_tainted(s), out);
}
