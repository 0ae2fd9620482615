#include "inference/text/hf/hfchars.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "inference/text/utf8_step.h"
#include "kernels/base/utf8.h"

void hf_keep(const struct hfsink *s, const struct hftext *t, size_t from, size_t to)
{
    buf_put(s->text, t->text + from, to - from);
    if (s->marked)
        buf_put(s->marks, t->marks + from, to - from);
}

void hf_substitute(const struct hfsink *s, const struct hftext *t, size_t from, size_t n,
                   const char *bytes, size_t len)
{
    char *room;
    bool mark = false;

    buf_put(s->text, bytes, len);
    if (!s->marked || len == 0)
        return;
    for (size_t i = 0; i < n; i++)
        mark |= t->marks[from + i] != 0;
    room = buf_room(s->marks, len);
    if (room) {
        memset(room, mark, len);
        s->marks->len += len;
    }
}

static uint32_t small_letter(uint32_t c)
{
    size_t lo = 0, hi = hf_n_lower;

    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c | 32 : c;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (c > hf_lower[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == hf_n_lower || c < hf_lower[lo].first || (c - hf_lower[lo].first) % hf_lower[lo].step)
        return c;
    return (uint32_t)((int32_t)c + hf_lower[lo].delta);
}

static bool is_among(const struct hf_range *ranges, size_t n, uint32_t c)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (c > ranges[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && c >= ranges[lo].first;
}

bool hf_is_word(uint32_t c)
{
    return is_among(hf_words, hf_n_words, c);
}

bool hf_is_punctuation(uint32_t c)
{
    return is_among(hf_punctuation, hf_n_punctuation, c);
}

/* Those that BERT takes for words of their own (its tokenization.py). */
static bool is_chinese(uint32_t c)
{
    static const struct hf_range ranges[] = {
        { 0x3400, 0x4dbf },   { 0x4e00, 0x9fff },   { 0xf900, 0xfaff },   { 0x20000, 0x2a6df },
        { 0x2a700, 0x2b81f }, { 0x2b920, 0x2ceaf }, { 0x2f800, 0x2fa1f },
    };

    return c >= ranges[0].first && is_among(ranges, sizeof ranges / sizeof *ranges, c);
}

/* What nmt makes of it: nothing (0), a blank, or itself. */
static uint32_t nmt(uint32_t c)
{
    static const uint32_t blanks[] = { 0x1680, 0x2028, 0x2029, 0x2581, 0xfeff, 0xfffd };

    if (c == 9 || c == 10 || c == 12 || c == 13 || (c >= 0x200b && c <= 0x200f))
        return ' ';
    if ((c >= 1 && c < 0x20) || c == 0x7f || c == 0x8f || c == 0x9f)
        return 0;
    for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++)
        if (blanks[i] == c)
            return ' ';
    return c;
}

/* The character c into out; returns how many bytes. */
static size_t convert(enum hfchars_kind kind, uint32_t c, char out[8])
{
    uint32_t to = c;
    size_t n;

    switch (kind) {
    case HFCHARS_LOWERCASE:
        if (c == 0x130) { /* the one that becomes two: i and a dot above */
            memcpy(out, "i\xcc\x87", 3);
            return 3;
        }
        to = small_letter(c);
        break;
    case HFCHARS_STRIP_ACCENTS:
        if (c >= hf_marks[0].first && is_among(hf_marks, hf_n_marks, c))
            return 0;
        break;
    case HFCHARS_STRIP_NONSPACING:
        if (c >= hf_nonspacing[0].first && is_among(hf_nonspacing, hf_n_nonspacing, c))
            return 0;
        break;
    case HFCHARS_NMT:
        to = nmt(c);
        if (to == 0 && c != 0)
            return 0;
        break;
    case HFCHARS_CLEAN:
        if (is_among(hf_controls, hf_n_controls, c))
            return 0;
        to = hf_is_blank(c) ? ' ' : c;
        break;
    case HFCHARS_CHINESE:
        if (!is_chinese(c))
            break;
        n = utf8_encode(out + 1, c);
        out[0] = out[n + 1] = ' ';
        return n + 2;
    case HFCHARS_LETTERS:
        break;
    }
    return utf8_encode(out, to);
}

/* The characters from byte i on that no kind but some control characters and capitals changes, kept
 * as they are: how many bytes. */
static size_t keep_plain(enum hfchars_kind kind, const struct hfsink *s, const struct hftext *t,
                         size_t i)
{
    bool capitals = kind != HFCHARS_LOWERCASE;
    size_t end = i;

    for (; end < t->len; end++) {
        unsigned char c = (unsigned char)t->text[end];

        if (c < 0x20 || c >= 0x7f || (!capitals && c >= 'A' && c <= 'Z'))
            break;
    }
    if (end > i)
        hf_keep(s, t, i, end);
    return end - i;
}

void hfchars_run(enum hfchars_kind kind, const struct hfsink *s, const struct hftext *t)
{
    for (size_t i = 0, n; i < t->len; i += n) {
        char out[8];
        uint32_t c;
        size_t len;

        if (kind == HFCHARS_LETTERS) {
            n = 1;
            len = vocab_byte_letter((unsigned char)t->text[i], out);
        } else if ((n = keep_plain(kind, s, t, i)) > 0) {
            continue;
        } else if ((n = utf8_decode(t->text + i, t->len - i, &c)) > 0) {
            len = convert(kind, c, out);
        } else { /* a byte that is not UTF-8 stays */
            n = len = 1;
            out[0] = t->text[i];
        }
        hf_substitute(s, t, i, n, out, len);
    }
}

bool hf_is_blank(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

void hfchars_strip(bool left, bool right, const struct hfsink *s, const struct hftext *t)
{
    size_t from = 0, to = 0;
    bool begun = false;

    for (size_t i = 0, n; i < t->len; i += n) {
        uint32_t c = 0;
        bool blank;

        n = utf8_decode(t->text + i, t->len - i, &c);
        blank = n > 0 && hf_is_blank(c);
        n = n ? n : 1;
        if (!blank && !begun) {
            begun = true;
            from = left ? i : 0;
        }
        if (!blank)
            to = i + n;
    }
    if (!begun) /* blanks only */
        from = left ? t->len : 0;
    hf_keep(s, t, from, right ? (begun ? to : from) : t->len);
}

/* --- charsmap --------------------------------------------------------------------------------- */

/* One chunk, if the map has something for it. */
static bool transform(const struct charsmap *map, const struct hfsink *s, const struct hftext *t,
                      size_t at, size_t n)
{
    struct str to;

    if (charsmap_match(map, t->text + at, n, false, &to) == 0)
        return false;
    hf_substitute(s, t, at, n, to.data, to.len);
    return true;
}

/* The bytes of the cluster at `at`, in a text that is UTF-8 up to `end`. */
static int cluster_bytes(const void *cluster, struct pretok_run *run, const char *text, size_t at,
                         size_t end, size_t *out, struct err *e)
{
    int n;

    *out = 1;
    if ((unsigned char)text[at] < 0x80 && text[at] != '\r' &&
        (at + 1 == end || (unsigned char)text[at + 1] < 0x80))
        return 0;
    n = pcre2_match(cluster, (PCRE2_SPTR)text, end, at, PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED,
                    run->match, run->context);
    if (n < 0)
        return err_set(e, n == PCRE2_ERROR_NOMEMORY ? ERR_NOMEM : ERR_INTERNAL,
                       "normalising a text failed: PCRE2 error %d", n);
    *out = pcre2_get_ovector_pointer(run->match)[1] - at;
    return 0;
}

int hfchars_precompiled(const struct charsmap *map, const void *cluster, struct pretok_run *run,
                        const struct hfsink *s, const struct hftext *t, struct err *e)
{
    enum { SHORT = 6 };
    size_t good = 0, n = 0;
    int rc = pretok_prepare(run, t->len, e);

    for (size_t i = 0; i < t->len && !rc; i += n) {
        int step;

        if (good <= i)
            for (good = i; good < t->len && (step = utf8_step(t->text + good, t->len - good)) > 0;)
                good += (size_t)step;
        if (good == i) { /* not UTF-8 */
            hf_keep(s, t, i, i + 1);
            n = 1;
            continue;
        }
        rc = cluster_bytes(cluster, run, t->text, i, good, &n, e);
        if (rc || (n < SHORT && transform(map, s, t, i, n)))
            continue;
        for (size_t k = i, len; k < i + n; k += len) {
            len = (size_t)utf8_step(t->text + k, i + n - k);
            if (!transform(map, s, t, k, len))
                hf_keep(s, t, k, k + len);
        }
    }
    return rc;
}

int hf_base64(struct buf *out, const char *text, size_t len, struct err *e)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned n = 0;

    for (size_t i = 0; i < len && text[i] != '='; i++) {
        const char *d = text[i] ? strchr(digits, text[i]) : NULL;

        if (!d)
            return err_set(e, ERR_FORMAT,
                           "tokenizer.json: byte %zu of precompiled_charsmap is no "
                           "base64",
                           i);
        bits = bits << 6 | (uint32_t)(d - digits);
        n += 6;
        if (n >= 8) {
            n -= 8;
            buf_putc(out, (char)(bits >> n & 0xff));
        }
    }
    return out->failed ? err_set(e, ERR_NOMEM, "no memory for a normalizer") : 0;
}
