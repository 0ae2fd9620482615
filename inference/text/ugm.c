/* GGUF's "t5": SentencePiece's Unigram model, with its own normalisation.
 *
 * A text is normalised by the file's charsmap, longest entries first; blanks become U+2581, one
 * goes before the text (add_space_prefix), and with remove_extra_whitespaces runs of them are one
 * and those at the ends none. */
#include <stdlib.h>
#include <string.h>

#include "inference/text/charsmap.h"
#include "inference/text/encoder.h"
#include "inference/text/unigram.h"
#include "inference/text/utf8_step.h"

#define KEY(name) "tokenizer.ggml." name

struct ugm {
    struct unigram *unigram;
    struct charsmap *map;
    bool blank_first, blank_last, merge_blanks;
};

static int load_map(struct ugm *u, const struct weights *w, struct err *e)
{
    struct weights_array a = { 0 };
    int64_t *values;
    uint8_t *bytes;
    int rc = weights_array(w, KEY("precompiled_charsmap"), &a, e);

    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (rc == ERR_NOTFOUND)
        a.len = 0;
    else if (a.kind != WEIGHTS_INT || a.len > INT32_MAX / 8)
        return err_set(e, ERR_FORMAT, "%s should be bytes, below 2^28",
                       KEY("precompiled_charsmap"));
    values = malloc((a.len + 1) * sizeof *values);
    bytes = malloc(a.len + 1);
    if (!values || !bytes) {
        rc = err_set(e, ERR_NOMEM, "no memory for a normalizer of %zu bytes", a.len);
    } else {
        if (a.len)
            weights_array_ints(&a, values);
        for (size_t i = 0; i < a.len; i++)
            bytes[i] = (uint8_t)values[i]; /* the array may be of signed bytes */
        rc = charsmap_create(&u->map, bytes, a.len, e);
    }
    free(values);
    free(bytes);
    return rc;
}

static int load_model(struct ugm *u, const struct vocab *v, struct err *e)
{
    struct unigram_options o = { .n = v->n, .unknown = v->unknown };
    double *scores = malloc(v->n * sizeof *scores);
    float lowest = 0;
    bool any = false;
    int rc;

    if (!scores)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", v->n);
    for (size_t i = 0; i < v->n; i++) {
        scores[i] = v->type[i] == TOKEN_USER ? 0 : v->score[i];
        if (v->type[i] == TOKEN_NORMAL && (!any || v->score[i] < lowest)) {
            lowest = v->score[i];
            any = true;
        }
    }
    o.scores = scores;
    o.unknown_score = lowest - 10.0F; /* as in SentencePiece */
    rc = unigram_create(&u->unigram, v, &o, e);
    free(scores);
    return rc;
}

static int flag(const struct weights *w, const char *key, bool *out, struct err *e)
{
    int rc = weights_bool(w, key, out, e);

    return rc == ERR_NOTFOUND ? 0 : rc;
}

int ugm_create(struct ugm **out, const struct vocab *v, const struct weights *w, struct err *e)
{
    struct ugm *u = calloc(1, sizeof *u);
    bool suffix = false, escape = true;
    int rc;

    *out = NULL;
    if (!u)
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer");
    if ((rc = load_map(u, w, e)) || (rc = load_model(u, v, e)) ||
        (rc = flag(w, KEY("remove_extra_whitespaces"), &u->merge_blanks, e)) ||
        (rc = flag(w, KEY("treat_whitespace_as_suffix"), &suffix, e)) ||
        (rc = flag(w, KEY("escape_whitespaces"), &escape, e)))
        goto fail;
    if (!escape) {
        rc = err_set(e, ERR_UNSUPPORTED, "%s false is not supported", KEY("escape_whitespaces"));
        goto fail;
    }
    u->blank_first = v->add_space_prefix && !suffix;
    u->blank_last = v->add_space_prefix && suffix;
    *out = u;
    return 0;
fail:
    ugm_free(u);
    return rc;
}

void ugm_free(struct ugm *u)
{
    if (!u)
        return;
    unigram_free(u->unigram);
    charsmap_free(u->map);
    free(u);
}

/* A normalised text that grows. */
struct growing {
    const struct ugm *u;
    struct buf *out;
    bool in_word, begun;
};

static void put(struct growing *g, const char *bytes, size_t len)
{
    static const char blank[] = "\xe2\x96\x81";

    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == ' ') {
            g->in_word = false;
            if (!g->u->merge_blanks)
                buf_puts(g->out, blank);
            continue;
        }
        if (!g->in_word && (g->u->merge_blanks || (g->u->blank_first && !g->begun))) {
            buf_puts(g->out, blank);
            g->begun = true;
        }
        g->in_word = true;
        buf_putc(g->out, bytes[i]);
    }
}

int ugm_encode(const struct ugm *u, struct encoder *enc, const char *text, size_t len,
               struct err *e)
{
    struct growing g = { .u = u, .out = &enc->segment };

    buf_reset(g.out);
    for (size_t i = 0, n; i < len; i += n) {
        struct str to;
        int step;

        n = charsmap_match(u->map, text + i, len - i, true, &to);
        if (n > 0) {
            put(&g, to.data, to.len);
            continue;
        }
        step = utf8_step(text + i, len - i);
        n = step > 0 ? (size_t)step : 1;
        if (step > 0)
            put(&g, text + i, n);
        else
            put(&g, "\xef\xbf\xbd", 3);
    }
    if (u->blank_last)
        buf_puts(g.out, "\xe2\x96\x81");
    if (g.out->failed)
        return err_set(e, ERR_NOMEM, "no memory to normalise a text of %zu bytes", len);
    unigram_begin(u->unigram, enc);
    return unigram_word(enc, buf_str(g.out), g.out->len, e);
}
