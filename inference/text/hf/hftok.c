#include "inference/text/hf/hftok.h"

#include <stdlib.h>
#include <string.h>

#include "inference/text/hf/hfchars.h"
#include "kernels/base/json.h"
#include "kernels/base/utf8.h"

enum { MAX_DEPTH = 64 };

struct hftok {
    const struct vocab *vocab;
    struct hfmodel model;
    struct hfnorm *norm;
    struct hfsplit *split;
    struct special raw, normalized; /* added tokens looked for before and after normalising */
    struct buf contents;            /* what the latter are looked for as */
};

/* --- opening ---------------------------------------------------------------------------------- */

/* What an added token is looked for as in normalised text: its own content, normalised. */
static int normalise_content(struct hftok *h, struct str *text, struct err *e)
{
    struct hfwork work = { 0 };
    struct pretok_run run = { 0 };
    struct hftext t = { text->data, text->len, NULL };
    int rc = hfnorm_run(h->norm, &work, &run, &t, e);

    if (!rc && t.text != text->data) {
        text->len = t.len;
        buf_put(&h->contents, t.text, t.len); /* it has room: nothing moves */
        text->data = h->contents.data + h->contents.len - t.len;
        if (h->contents.failed)
            rc = err_set(e, ERR_NOMEM, "no memory for added tokens");
    }
    hfwork_done(&work);
    pretok_run_done(&run);
    return rc;
}

/* Contents may grow a little when normalised; places in h->contents must not move. */
static int reserve_contents(struct hftok *h, const struct value *added, struct err *e)
{
    size_t bytes = 0, len;

    for (size_t i = 0; i < added->list.len; i++)
        if (hf_string(added->list.items[i], "content", &len))
            bytes += 16 * len + 64;
    h->contents.limit = bytes;
    return bytes == 0 || buf_room(&h->contents, bytes)
               ? 0
               : err_set(e, ERR_NOMEM, "no memory for added tokens");
}

static int read_item(struct hftok *h, const struct value *t, struct special_item *out, bool *raw,
                     struct err *e)
{
    size_t len;
    const char *content = hf_string(t, "content", &len);
    int32_t id = content ? strindex_find(&h->vocab->by_text, content, len) : -1;

    *out = (struct special_item){ .id = -1 };
    if (id < 0 || len == 0)
        return 0;
    *raw = !hf_flag(t, "normalized", !hf_flag(t, "special", false));
    *out = (struct special_item){
        .text = strtab_get(&h->vocab->texts, (size_t)id),
        .id = id,
        .control = hf_flag(t, "special", false),
        .eats_blank = hf_flag(t, "rstrip", false),
        .eats_before = hf_flag(t, "lstrip", false),
        .alone = hf_flag(t, "single_word", false),
    };
    return *raw ? 0 : normalise_content(h, &out->text, e);
}

static int open_added(struct hftok *h, const struct value *json, struct err *e)
{
    const struct value *added = value_get(json, "added_tokens");
    size_t n = added && added->kind == VALUE_LIST ? added->list.len : 0, n_raw = 0, n_other = 0;
    struct special_item *raw = calloc(n + 1, sizeof *raw), *other = calloc(n + 1, sizeof *other);
    int rc = 0;

    if (!raw || !other)
        rc = err_set(e, ERR_NOMEM, "no memory for %zu added tokens", n);
    if (!rc && n)
        rc = reserve_contents(h, added, e);
    for (size_t i = 0; i < n && !rc; i++) {
        struct special_item item;
        bool is_raw = true;

        rc = read_item(h, added->list.items[i], &item, &is_raw, e);
        if (item.id >= 0 && item.text.len > 0)
            *(is_raw ? &raw[n_raw++] : &other[n_other++]) = item;
    }
    if (!rc)
        rc = special_init_items(&h->raw, raw, n_raw, e);
    if (!rc)
        rc = special_init_items(&h->normalized, other, n_other, e);
    free(raw);
    free(other);
    return rc;
}

int hftok_create(struct hftok **out, struct vocab *v, const struct weights *w, struct err *e)
{
    struct hftok *h = calloc(1, sizeof *h);
    struct value *json = NULL;
    struct str text = { "", 0 };
    struct arena a;
    int rc;

    *out = NULL;
    if (!h)
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer");
    h->vocab = v;
    arena_init(&a, 0);
    rc = weights_str(w, "tokenizer.huggingface.json", &text, e);
    if (rc == 0)
        rc = json_parse(text.data, text.len, MAX_DEPTH, &a, &json, e);
    if (rc && e && rc != ERR_NOTFOUND)
        err_prefix(e, "tokenizer.json: ");
    if (rc || (rc = hfnorm_create(&h->norm, json, e)) ||
        (rc = hfsplit_create(&h->split, json, e)) || (rc = hfvocab_load(v, json, w, e)) ||
        (rc = hfmodel_open(&h->model, v, json, hfsplit_gives_bytes(h->split), e)) ||
        (rc = open_added(h, json, e))) {
        hftok_free(h);
        h = NULL;
    }
    arena_done(&a);
    *out = h;
    return rc;
}

void hftok_free(struct hftok *h)
{
    if (!h)
        return;
    hfmodel_close(&h->model);
    hfnorm_free(h->norm);
    hfsplit_free(h->split);
    special_done(&h->raw);
    special_done(&h->normalized);
    buf_done(&h->contents);
    free(h);
}

/* --- encoding --------------------------------------------------------------------------------- */

struct encoding {
    const struct hftok *h;
    struct encoder *enc;
    const struct encode_options *o;
    const char *text;   /* the whole */
    size_t n_left;      /* plain spans that end behind what was done: the last so many of o's */
    struct hfwork work; /* of the normaliser */
    struct buf marks;   /* of the stretch that is being normalised */
};

/* Where the character that ends before `at` begins, not before `from`. */
static size_t char_before(const char *s, size_t from, size_t at)
{
    size_t start = at - 1;

    while (start > from && ((unsigned char)s[start] & 0xc0) == 0x80)
        start--;
    return start;
}

/* Where the blanks that end before `at` begin, not before `from`. */
static size_t blanks_before(const char *s, size_t from, size_t at)
{
    while (at > from) {
        size_t start = char_before(s, from, at);
        uint32_t c;

        if (utf8_decode(s + start, at - start, &c) != at - start || !hf_is_blank(c))
            break;
        at = start;
    }
    return at;
}

static size_t blanks_after(const char *s, size_t at, size_t len)
{
    while (at < len) {
        uint32_t c;
        size_t n = utf8_decode(s + at, len - at, &c);

        if (n == 0 || !hf_is_blank(c))
            break;
        at += n;
    }
    return at;
}

static bool stands_alone(const char *s, size_t len, size_t start, size_t end)
{
    uint32_t c;

    if (start > 0) {
        size_t before = char_before(s, 0, start);

        if (utf8_decode(s + before, start - before, &c) && hf_is_word(c))
            return false;
    }
    return end == len || !utf8_decode(s + end, len - end, &c) || !hf_is_word(c);
}

/* Cuts the tokens of a table out of a text: their ids, and what lies between through between(). */
static int cut(struct encoding *c, const struct special *table, struct special_search *q,
               int (*between)(struct encoding *c, const struct special_search *q, size_t start,
                              size_t end, bool first, struct err *e),
               bool first, struct err *e)
{
    const struct special_item *item;
    size_t done = 0, from = 0, at;
    int rc = 0;

    while (from < q->len && (item = special_next(table, q, from, &at))) {
        size_t end = at + item->text.len;

        from = end;
        if (item->alone && !stands_alone(q->text, q->len, at, end))
            continue;
        if (item->eats_before)
            at = blanks_before(q->text, done, at);
        if (item->eats_blank)
            end = blanks_after(q->text, end, q->len);
        if (at > done && (rc = between(c, q, done, at, first && done == 0, e)))
            return rc;
        if ((rc = encoder_emit(c->enc, item->id, e)))
            return rc;
        done = from = end;
    }
    return done < q->len ? between(c, q, done, q->len, first && done == 0, e) : 0;
}

static int words(struct encoding *c, const struct special_search *q, size_t start, size_t end,
                 bool first, struct err *e)
{
    return hfsplit_run(c->h->split, &c->enc->run, q->text + start, end - start, first, e);
}

/* One mark for each byte of the stretch: does it lie in a plain span? */
static int mark(struct encoding *c, size_t start, size_t end, struct err *e)
{
    const struct text_span *last = c->o->plain + c->o->n_plain;
    char *marks;

    buf_reset(&c->marks);
    marks = buf_room(&c->marks, end - start);
    if (!marks)
        return err_set(e, ERR_NOMEM, "no memory to mark a text of %zu bytes", end - start);
    memset(marks, 0, end - start);
    while (c->n_left && (last - c->n_left)->end <= start)
        c->n_left--;
    for (const struct text_span *s = last - c->n_left; s < last && s->start < end; s++) {
        size_t from = s->start > start ? s->start : start, to = s->end < end ? s->end : end;

        if (to > from)
            memset(marks + from - start, 1, to - from);
    }
    return 0;
}

static int stretch(struct encoding *c, const struct special_search *raw, size_t start, size_t end,
                   bool first, struct err *e)
{
    const struct hftok *h = c->h;
    struct hftext t = { raw->text + start, end - start, NULL };
    bool marked = h->normalized.n && c->o->parse_special && c->o->n_plain;
    struct special_search q = { .parse = c->o->parse_special };
    int rc = marked ? mark(c, start, end, e) : 0;

    if (rc)
        return rc;
    if (marked)
        t.marks = c->marks.data;
    rc = hfnorm_run(h->norm, &c->work, &c->enc->run, &t, e);
    if (rc)
        return rc;
    q.text = t.text;
    q.len = t.len;
    q.marks = t.marks;
    return cut(c, &h->normalized, &q, words, first, e);
}

int hftok_encode(const struct hftok *h, struct encoder *enc, const char *text, size_t len,
                 const struct encode_options *o, struct err *e)
{
    struct encoding c = { .h = h, .enc = enc, .o = o, .text = text, .n_left = o->n_plain };
    struct special_search q = { .text = text,
                                .len = len,
                                .parse = o->parse_special,
                                .plain = o->plain,
                                .n_plain = o->n_plain };
    int rc;

    if (h->model.bpe)
        bpe_begin(h->model.bpe, enc);
    else if (h->model.unigram)
        unigram_begin(h->model.unigram, enc);
    else
        wordpiece_begin(h->model.wordpiece, enc);
    rc = cut(&c, &h->raw, &q, stretch, true, e);
    hfwork_done(&c.work);
    buf_done(&c.marks);
    return rc;
}
