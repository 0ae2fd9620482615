/* hfnorm - the "normalizer" component: text to text, step by step. */
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "inference/text/hf/hfchars.h"
#include "inference/text/nfc.h"
#include "inference/text/utf8_step.h"

enum { MAX_STEPS = 16 };
enum step_kind {
    STEP_PREPEND,
    STEP_REPLACE,
    STEP_MATCH,
    STEP_FORM, /* NFC and its like */
    STEP_CHARS,
    STEP_STRIP,
    STEP_PRECOMPILED,
};

struct step {
    enum step_kind kind;
    struct buf from, to; /* PREPEND: to.  REPLACE: one by the other.  MATCH: what matches by `to` */
    pcre2_code *code;    /* MATCH; PRECOMPILED: a cluster */
    struct nfc_form form;
    enum hfchars_kind chars;
    bool left, right; /* STRIP */
    struct charsmap *map;
};

struct hfnorm {
    struct step steps[MAX_STEPS];
    size_t n;
};

static int put_text(struct buf *b, const struct value *v, const char *key, struct err *e)
{
    size_t len;
    const char *s = hf_string(v, key, &len);

    if (!s)
        return err_set(e, ERR_FORMAT, "tokenizer.json: normalizer %.40s without a string %s",
                       hf_type(v), key);
    buf_put(b, s, len);
    return b->failed ? err_set(e, ERR_NOMEM, "no memory for a normalizer") : 0;
}

static int read_replace(struct step *s, const struct value *v, struct err *e)
{
    const struct value *pattern = value_get(v, "pattern");
    size_t len;
    void *code = NULL;
    int rc = put_text(&s->to, v, "content", e);

    if (rc)
        return rc;
    s->kind = STEP_REPLACE;
    if (hf_string(pattern, "String", &len) && len > 0)
        return put_text(&s->from, pattern, "String", e);
    s->kind = STEP_MATCH;
    rc = hf_pattern(&code, v, e);
    s->code = code;
    return rc;
}

static int read_precompiled(struct step *s, const struct value *v, struct err *e)
{
    size_t len;
    const char *text = hf_string(v, "precompiled_charsmap", &len);
    struct buf bytes = { 0 };
    void *code = NULL;
    int rc;

    s->kind = STEP_PRECOMPILED;
    if (!text) /* null in files whose model has none: nothing changes */
        len = 0;
    rc = hf_base64(&bytes, text, len, e);
    if (!rc)
        rc = charsmap_create(&s->map, buf_str(&bytes), bytes.len, e);
    if (!rc)
        rc = hf_compile(&code, "\\X", 2, e);
    s->code = code;
    buf_done(&bytes);
    return rc;
}

/* Those that are named by their type alone. */
static bool read_simple(struct step *s, const char *type)
{
    static const struct {
        const char *type;
        struct step step;
    } known[] = {
        { "NFC", { .kind = STEP_FORM, .form = { true, false } } },
        { "NFD", { .kind = STEP_FORM, .form = { false, false } } },
        { "NFKC", { .kind = STEP_FORM, .form = { true, true } } },
        { "NFKD", { .kind = STEP_FORM, .form = { false, true } } },
        { "Lowercase", { .kind = STEP_CHARS, .chars = HFCHARS_LOWERCASE } },
        { "StripAccents", { .kind = STEP_CHARS, .chars = HFCHARS_STRIP_ACCENTS } },
        { "Nmt", { .kind = STEP_CHARS, .chars = HFCHARS_NMT } },
        { "ByteLevel", { .kind = STEP_CHARS, .chars = HFCHARS_LETTERS } },
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].type, type) == 0) {
            *s = known[i].step;
            return true;
        }
    return false;
}

/* NULL with a sentence where there are too many. */
static struct step *new_step(struct hfnorm *n, struct err *e)
{
    if (n->n < MAX_STEPS)
        return &n->steps[n->n++];
    (void)err_set(e, ERR_UNSUPPORTED, "tokenizer.json: more than %d normalizers", MAX_STEPS);
    return NULL;
}

/* BERT's, in the order that the library has for them; strip_accents is null where it follows
 * lowercase. */
static int read_bert(struct hfnorm *n, const struct value *v, struct err *e)
{
    bool lowercase = hf_flag(v, "lowercase", true);
    bool strips = hf_flag(v, "strip_accents", lowercase);
    const struct {
        bool wanted;
        struct step step;
    } parts[] = {
        { hf_flag(v, "clean_text", true), { .kind = STEP_CHARS, .chars = HFCHARS_CLEAN } },
        { hf_flag(v, "handle_chinese_chars", true),
          { .kind = STEP_CHARS, .chars = HFCHARS_CHINESE } },
        { strips, { .kind = STEP_FORM, .form = { false, false } } },
        { strips, { .kind = STEP_CHARS, .chars = HFCHARS_STRIP_NONSPACING } },
        { lowercase, { .kind = STEP_CHARS, .chars = HFCHARS_LOWERCASE } },
    };

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct step *s = parts[i].wanted ? new_step(n, e) : NULL;

        if (parts[i].wanted && !s)
            return ERR_UNSUPPORTED;
        if (s)
            *s = parts[i].step;
    }
    return 0;
}

static int read_step(void *arg, const struct value *v, struct err *e)
{
    struct hfnorm *n = arg;
    struct step *s;
    const char *type = hf_type(v);

    if (strcmp(type, "BertNormalizer") == 0)
        return read_bert(n, v, e);
    s = new_step(n, e);
    if (!s)
        return ERR_UNSUPPORTED;
    if (strcmp(type, "Prepend") == 0) {
        s->kind = STEP_PREPEND;
        return put_text(&s->to, v, "prepend", e);
    }
    if (strcmp(type, "Replace") == 0)
        return read_replace(s, v, e);
    if (strcmp(type, "Precompiled") == 0)
        return read_precompiled(s, v, e);
    if (strcmp(type, "Strip") == 0) {
        s->kind = STEP_STRIP;
        s->left = hf_flag(v, "strip_left", true);
        s->right = hf_flag(v, "strip_right", true);
        return 0;
    }
    if (read_simple(s, type))
        return 0;
    return err_set(e, ERR_UNSUPPORTED, "tokenizer.json: the normalizer \"%.60s\" is not supported",
                   type);
}

int hfnorm_create(struct hfnorm **out, const struct value *json, struct err *e)
{
    struct hfnorm *n = calloc(1, sizeof *n);
    int rc;

    *out = NULL;
    if (!n)
        return err_set(e, ERR_NOMEM, "no memory for a normalizer");
    rc = hf_each(value_get(json, "normalizer"), "normalizers", read_step, n, e);
    if (rc)
        hfnorm_free(n);
    else
        *out = n;
    return rc;
}

void hfnorm_free(struct hfnorm *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->n; i++) {
        buf_done(&n->steps[i].from);
        buf_done(&n->steps[i].to);
        pcre2_code_free(n->steps[i].code);
        charsmap_free(n->steps[i].map);
    }
    free(n);
}

void hfwork_done(struct hfwork *w)
{
    for (size_t i = 0; i < 2; i++) {
        buf_done(&w->text[i]);
        buf_done(&w->marks[i]);
    }
}

static void replace(const struct step *step, const struct hfsink *s, const struct hftext *t)
{
    const char *from = buf_str(&step->from);
    size_t n = step->from.len, done = 0;

    while (done < t->len) {
        const char *at = memmem(t->text + done, t->len - done, from, n);
        size_t start = at ? (size_t)(at - t->text) : t->len;

        hf_keep(s, t, done, start);
        if (!at)
            break;
        hf_substitute(s, t, start, n, buf_str(&step->to), step->to.len);
        done = start + n;
    }
}

/* PCRE2 wants valid UTF-8: what is not stays as it is, and parts the text. */
static int replace_matches(const struct step *step, struct pretok_run *run, const struct hfsink *s,
                           const struct hftext *t, struct err *e)
{
    int rc = pretok_prepare(run, t->len, e);

    for (size_t i = 0; i < t->len && !rc;) {
        size_t good = i, done = i;
        int k = 1;

        while (good < t->len && (k = utf8_step(t->text + good, t->len - good)) > 0)
            good += (size_t)k;
        while (done < good) {
            size_t start = good, end = good;
            int n = pcre2_match(step->code, (PCRE2_SPTR)t->text + i, good - i, done - i,
                                PCRE2_NO_UTF_CHECK, run->match, run->context);

            if (n < 0 && n != PCRE2_ERROR_NOMATCH)
                return err_set(e, n == PCRE2_ERROR_NOMEMORY ? ERR_NOMEM : ERR_INTERNAL,
                               "normalising a text failed: PCRE2 error %d", n);
            if (n > 0) {
                start = i + pcre2_get_ovector_pointer(run->match)[0];
                end = i + pcre2_get_ovector_pointer(run->match)[1];
            }
            hf_keep(s, t, done, start);
            if (n < 0)
                break;
            if (end == start) { /* an empty match: one character further */
                hf_substitute(s, t, start, 0, buf_str(&step->to), step->to.len);
                end += start < good ? (size_t)utf8_step(t->text + start, good - start) : 0;
                hf_keep(s, t, start, end);
            } else {
                hf_substitute(s, t, start, end - start, buf_str(&step->to), step->to.len);
            }
            done = end;
        }
        i = good;
        if (i < t->len) {
            hf_keep(s, t, i, i + 1);
            i++;
        }
    }
    return rc;
}

static int run_step(const struct step *step, struct pretok_run *run, const struct hfsink *s,
                    const struct hftext *t, struct err *e)
{
    switch (step->kind) {
    case STEP_PREPEND:
        hf_substitute(s, t, 0, 0, buf_str(&step->to), step->to.len);
        hf_keep(s, t, 0, t->len);
        break;
    case STEP_REPLACE:
        replace(step, s, t);
        break;
    case STEP_MATCH:
        return replace_matches(step, run, s, t, e);
    case STEP_FORM:
        nfc_put(s->text, s->marks, t->text, t->len, t->marks, step->form);
        break;
    case STEP_CHARS:
        hfchars_run(step->chars, s, t);
        break;
    case STEP_STRIP:
        hfchars_strip(step->left, step->right, s, t);
        break;
    case STEP_PRECOMPILED:
        return hfchars_precompiled(step->map, step->code, run, s, t, e);
    }
    return 0;
}

int hfnorm_run(const struct hfnorm *n, struct hfwork *w, struct pretok_run *run, struct hftext *t,
               struct err *e)
{
    size_t to = 0;
    int rc = 0;

    for (size_t i = 0; i < n->n && t->len > 0; i++) {
        const struct step *step = &n->steps[i];
        struct hfsink s = { &w->text[to], &w->marks[to], t->marks != NULL };

        if (step->kind == STEP_FORM && nfc_is_plain(t->text, t->len, step->form))
            continue;
        buf_reset(s.text);
        buf_reset(s.marks);
        if ((rc = run_step(step, run, &s, t, e)))
            return rc;
        if (s.text->failed || s.marks->failed)
            return err_set(e, ERR_NOMEM, "no memory to normalise a text of %zu bytes", t->len);
        *t = (struct hftext){ buf_str(s.text), s.text->len, s.marked ? buf_str(s.marks) : NULL };
        to = 1 - to; /* the next one reads what this one wrote */
    }
    return 0;
}
