/* nfc - decompose, order the marks, compose (UAX 15, section 1.3; Unicode 15, section 3.11 and for
 * Hangul 3.12).
 *
 * A text is taken in runs that begin with a character of class 0 which nothing before can be joined
 * to; a run that is longer than RUN characters is cut, as no language writes one (UAX 15, section
 * 13). */
#include "inference/text/nfc.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

enum {
    RUN = 256,
    SBASE = 0xac00,
    LBASE = 0x1100,
    VBASE = 0x1161,
    TBASE = 0x11a7,
    LCOUNT = 19,
    VCOUNT = 21,
    TCOUNT = 28,
    SCOUNT = LCOUNT * VCOUNT * TCOUNT,
    FIRST_MARK = 0x300,
    FIRST_COMPAT = 0xa0,
    MOST = 18, /* characters that one becomes: U+FDFA */
};

struct letter {
    uint32_t cp;
    uint8_t ccc;
    char mark;
};

struct run {
    struct letter l[RUN + MOST];
    size_t n;
};

static uint8_t class_of(uint32_t cp)
{
    size_t lo = 0, hi = nfc_n_classes;

    if (cp < FIRST_MARK)
        return 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (cp > nfc_classes[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < nfc_n_classes && cp >= nfc_classes[lo].first ? nfc_classes[lo].ccc : 0;
}

static const struct nfc_split *find_split(uint32_t cp)
{
    size_t lo = 0, hi = nfc_n_splits;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (nfc_splits[mid].cp < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < nfc_n_splits && nfc_splits[lo].cp == cp ? &nfc_splits[lo] : NULL;
}

static const struct nfc_compat *find_compat(uint32_t cp)
{
    size_t lo = 0, hi = nfc_n_compat;

    if (cp < FIRST_COMPAT)
        return NULL;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (nfc_compat[mid].cp < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < nfc_n_compat && nfc_compat[lo].cp == cp ? &nfc_compat[lo] : NULL;
}

/* The character that a and b make together, or 0. */
static uint32_t join(uint32_t a, uint32_t b)
{
    size_t lo = 0, hi = nfc_n_joins;

    if (a >= LBASE && a < LBASE + LCOUNT && b >= VBASE && b < VBASE + VCOUNT)
        return SBASE + ((a - LBASE) * VCOUNT + (b - VBASE)) * TCOUNT;
    if (a >= SBASE && a < SBASE + SCOUNT && (a - SBASE) % TCOUNT == 0 && b > TBASE &&
        b < TBASE + TCOUNT)
        return a + (b - TBASE);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct nfc_join *j = &nfc_joins[mid];

        if (j->first < a || (j->first == a && j->second < b))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < nfc_n_joins && nfc_joins[lo].first == a && nfc_joins[lo].second == b
               ? nfc_joins[lo].cp
               : 0;
}

/* Is b, of class 0, the second of a pair?  Then a run goes on with it. */
static bool joins_backward(uint32_t b)
{
    if (b < nfc_late[0] || (b > nfc_late[nfc_n_late - 1] && b >= TBASE + TCOUNT))
        return false;
    if (b >= VBASE && b < TBASE + TCOUNT)
        return true;
    for (size_t i = 0; i < nfc_n_late && nfc_late[i] <= b; i++)
        if (nfc_late[i] == b)
            return true;
    return false;
}

static void push(struct run *r, uint32_t cp, char mark)
{
    r->l[r->n++] = (struct letter){ cp, class_of(cp), mark };
}

/* A decomposition's first part may have one of its own, its second never. */
static void push_split(struct run *r, uint32_t cp, char mark)
{
    const struct nfc_split *s;

    if (cp >= SBASE && cp < SBASE + SCOUNT) {
        uint32_t i = cp - SBASE;

        push(r, LBASE + i / (VCOUNT * TCOUNT), mark);
        push(r, VBASE + i % (VCOUNT * TCOUNT) / TCOUNT, mark);
        if (i % TCOUNT)
            push(r, TBASE + i % TCOUNT, mark);
        return;
    }
    s = cp >= 0xc0 ? find_split(cp) : NULL;
    if (!s) {
        push(r, cp, mark);
        return;
    }
    push_split(r, s->first, mark);
    if (s->second)
        push(r, s->second, mark);
}

/* Marks of one character in the order of their classes; of equal ones in the order written. */
static void order(struct run *r)
{
    for (size_t i = 1; i < r->n; i++) {
        struct letter l = r->l[i];
        size_t k = i;

        for (; l.ccc && k > 0 && r->l[k - 1].ccc > l.ccc; k--)
            r->l[k] = r->l[k - 1];
        r->l[k] = l;
    }
}

/* Each letter joins the last one of class 0, unless something between them is in the way. */
static void compose_run(struct run *r)
{
    size_t base = SIZE_MAX, kept = 0;

    for (size_t i = 0; i < r->n; i++) {
        struct letter l = r->l[i];
        bool blocked = base != SIZE_MAX && kept > base + 1 && r->l[kept - 1].ccc >= l.ccc;
        uint32_t cp = base != SIZE_MAX && !blocked ? join(r->l[base].cp, l.cp) : 0;

        if (cp) {
            r->l[base].cp = cp;
            r->l[base].mark |= l.mark;
            continue;
        }
        if (l.ccc == 0)
            base = kept;
        r->l[kept++] = l;
    }
    r->n = kept;
}

static void flush(struct run *r, struct buf *out, struct buf *out_marks, bool marked,
                  struct nfc_form form)
{
    order(r);
    if (form.compose)
        compose_run(r);
    for (size_t i = 0; i < r->n; i++) {
        char bytes[4], marks[4] = { r->l[i].mark, r->l[i].mark, r->l[i].mark, r->l[i].mark };
        size_t n = utf8_encode(bytes, r->l[i].cp);

        buf_put(out, bytes, n);
        if (marked)
            buf_put(out_marks, marks, n);
    }
    r->n = 0;
}

bool nfc_is_plain(const char *text, size_t len, struct nfc_form form)
{
    /* bytes below C3 are ASCII, or lead to U+0080 .. U+00BF */
    unsigned char first = form.compat ? 0xc2 : 0xc3;
    bool compose = form.compose;

    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t n = 1;

        if ((unsigned char)text[i] < first) {
            i++;
            continue;
        }
        n = utf8_decode(text + i, len - i, &cp);
        if (n == 0) {
            i++;
            continue;
        }
        if (form.compat && find_compat(cp))
            return false;
        if (!compose || cp >= FIRST_MARK) {
            const struct nfc_split *s = find_split(cp);

            if (class_of(cp) || (compose && joins_backward(cp)))
                return false;
            if (!compose && (s || (cp >= SBASE && cp < SBASE + SCOUNT)))
                return false;
            if (s && join(s->first, s->second) != cp) /* form C spells it otherwise */
                return false;
        }
        i += n;
    }
    return true;
}

/* Does a run end before this character? */
static bool begins_run(uint32_t cp)
{
    return cp < FIRST_MARK || (!class_of(cp) && !joins_backward(cp));
}

void nfc_put(struct buf *out, struct buf *out_marks, const char *text, size_t len,
             const char *marks, struct nfc_form form)
{
    struct run r;

    r.n = 0;
    for (size_t i = 0; i < len;) {
        const struct nfc_compat *compat;
        uint32_t cp;
        size_t n = utf8_decode(text + i, len - i, &cp);
        char mark = marks ? marks[i] : 0;

        if (n == 0) {
            flush(&r, out, out_marks, marks != NULL, form);
            buf_put(out, text + i, 1);
            if (marks)
                buf_put(out_marks, marks + i, 1);
            i++;
            continue;
        }
        compat = form.compat ? find_compat(cp) : NULL;
        if (r.n >= RUN || (r.n && begins_run(compat ? nfc_compat_chars[compat->start] : cp)))
            flush(&r, out, out_marks, marks != NULL, form);
        if (!compat)
            push_split(&r, cp, mark);
        for (size_t k = 0; compat && k < compat->n; k++)
            push(&r, nfc_compat_chars[compat->start + k], mark);
        i += n;
    }
    flush(&r, out, out_marks, marks != NULL, form);
}
