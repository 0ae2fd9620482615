/* hfsplit - the "pre_tokenizer" component: text to words, each step cutting what the one before it
 * left.
 *
 * A step either finds pieces in a text (matches of an expression, and what lies between) or
 * rewrites it (Metaspace, and ByteLevel's alphabet where further steps follow).  A last ByteLevel
 * step is not carried out: the merges then begin with bytes. */
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "inference/text/hf/hfchars.h"
#include "inference/text/hf/hftok.h"
#include "inference/text/utf8_step.h"

enum { MAX_STEPS = 16 };

/* What becomes of a match and the piece beside it. */
enum behavior { ISOLATED, REMOVED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };

enum step_kind { STEP_CUT, STEP_METASPACE, STEP_BLANK_FIRST, STEP_LETTERS, STEP_BERT };

struct step {
    enum step_kind kind;
    pcre2_code *code; /* CUT */
    enum behavior behavior;
    bool invert;             /* what does not match counts as the match */
    bool always, first_only; /* METASPACE: the replacement goes before the text */
    struct buf replacement;  /* METASPACE */
};

struct hfsplit {
    struct step steps[MAX_STEPS];
    size_t n;
    bool bytes; /* the last step is ByteLevel */
};

/* The expression of GPT-2's encoder.py (Radford et al. 2019). */
#define GPT2 "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

static int read_behavior(struct step *s, const struct value *v, struct err *e)
{
    static const char *const names[] = { "Isolated", "Removed", "MergedWithPrevious",
                                         "MergedWithNext", "Contiguous" };
    size_t len;
    const char *name = hf_string(v, "behavior", &len);

    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            s->behavior = (enum behavior)i;
            return 0;
        }
    return err_set(e, ERR_UNSUPPORTED, "tokenizer.json: %.40s with behavior \"%.40s\"", hf_type(v),
                   name ? name : "");
}

/* NULL with a sentence where there are too many. */
static struct step *new_step(struct hfsplit *p, enum step_kind kind, struct err *e)
{
    struct step *s = p->n < MAX_STEPS ? &p->steps[p->n++] : NULL;

    if (s)
        s->kind = kind;
    else
        (void)err_set(e, ERR_UNSUPPORTED, "tokenizer.json: more than %d pre-tokenizers", MAX_STEPS);
    return s;
}

/* With an expression that is compiled by now; takes it. */
static int add_code(struct hfsplit *p, void *code, enum behavior behavior, bool invert,
                    struct err *e)
{
    struct step *s = new_step(p, STEP_CUT, e);

    if (!s) {
        pcre2_code_free(code);
        return ERR_UNSUPPORTED;
    }
    s->code = code;
    s->behavior = behavior;
    s->invert = invert;
    return 0;
}

static int add_cut(struct hfsplit *p, const char *expression, enum behavior behavior, bool invert,
                   struct err *e)
{
    void *code = NULL;
    int rc = hf_compile(&code, expression, strlen(expression), e);

    return rc ? rc : add_code(p, code, behavior, invert, e);
}

static int read_split(struct hfsplit *p, const struct value *v, struct err *e)
{
    struct step like = { 0 };
    void *code = NULL;
    int rc;

    if ((rc = read_behavior(&like, v, e)) || (rc = hf_pattern(&code, v, e)))
        return rc;
    return add_code(p, code, like.behavior, hf_flag(v, "invert", false), e);
}

static int read_byte_level(struct hfsplit *p, const struct value *v, struct err *e)
{
    int rc = 0;

    if (hf_flag(v, "add_prefix_space", true) && !new_step(p, STEP_BLANK_FIRST, e))
        return ERR_UNSUPPORTED;
    if (hf_flag(v, "use_regex", true))
        rc = add_cut(p, GPT2, ISOLATED, false, e);
    if (rc)
        return rc;
    return new_step(p, STEP_LETTERS, e) ? 0 : ERR_UNSUPPORTED;
}

/* Before version 0.15 of the library the scheme was a flag. */
static int read_metaspace(struct hfsplit *p, const struct value *v, struct err *e)
{
    size_t len;
    const char *scheme = hf_string(v, "prepend_scheme", &len);
    const char *replacement;
    struct step *s = new_step(p, STEP_METASPACE, e);
    struct buf quoted = { 0 };
    int rc;

    if (!s)
        return ERR_UNSUPPORTED;
    if (!scheme)
        scheme = hf_flag(v, "add_prefix_space", true) ? "always" : "never";
    s->always = strcmp(scheme, "always") == 0;
    s->first_only = strcmp(scheme, "first") == 0;
    replacement = hf_string(v, "replacement", &len);
    if (!replacement || !len || (!s->always && !s->first_only && strcmp(scheme, "never") != 0))
        return err_set(e, ERR_FORMAT,
                       "tokenizer.json: Metaspace without a known replacement and "
                       "prepend_scheme");
    buf_put(&s->replacement, replacement, len);
    if (s->replacement.failed)
        return err_set(e, ERR_NOMEM, "no memory for a pre-tokenizer");
    if (!hf_flag(v, "split", true))
        return 0;
    hf_quote(&quoted, replacement, len);
    rc = quoted.failed ? err_set(e, ERR_NOMEM, "no memory for a pre-tokenizer")
                       : add_cut(p, quoted.data, MERGED_WITH_NEXT, false, e);
    buf_done(&quoted);
    return rc;
}

/* \w of Rust's expressions. */
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}"

static int read_step(void *arg, const struct value *v, struct err *e)
{
    struct hfsplit *p = arg;
    const char *type = hf_type(v);
    struct step cut = { .behavior = ISOLATED };
    void *code = NULL;
    int rc;

    if (strcmp(type, "Split") == 0)
        return read_split(p, v, e);
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(p, v, e);
    if (strcmp(type, "BertPreTokenizer") == 0)
        return new_step(p, STEP_BERT, e) ? 0 : ERR_UNSUPPORTED;
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(p, v, e);
    if (strcmp(type, "Digits") == 0)
        return add_cut(p, "\\p{N}", hf_flag(v, "individual_digits", false) ? ISOLATED : CONTIGUOUS,
                       false, e);
    if (strcmp(type, "Punctuation") == 0) {
        if (value_get(v, "behavior") && (rc = read_behavior(&cut, v, e)))
            return rc;
        rc = hf_compile_punctuation(&code, e);
        return rc ? rc : add_code(p, code, cut.behavior, false, e);
    }
    if (strcmp(type, "WhitespaceSplit") == 0)
        return add_cut(p, "\\s", REMOVED, false, e);
    if (strcmp(type, "Whitespace") == 0)
        return add_cut(p, "[" WORD "]+|[^" WORD "\\s]+", REMOVED, true, e);
    return err_set(e, ERR_UNSUPPORTED,
                   "tokenizer.json: the pre_tokenizer \"%.60s\" is not supported", type);
}

int hfsplit_create(struct hfsplit **out, const struct value *json, struct err *e)
{
    struct hfsplit *p = calloc(1, sizeof *p);
    int rc;

    *out = NULL;
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for a pre-tokenizer");
    rc = hf_each(value_get(json, "pre_tokenizer"), "pretokenizers", read_step, p, e);
    if (rc) {
        hfsplit_free(p);
        return rc;
    }
    if (p->n && p->steps[p->n - 1].kind == STEP_LETTERS) {
        p->bytes = true;
        p->n--;
    }
    *out = p;
    return 0;
}

void hfsplit_free(struct hfsplit *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < MAX_STEPS; i++) {
        pcre2_code_free(p->steps[i].code);
        buf_done(&p->steps[i].replacement);
    }
    free(p);
}

bool hfsplit_gives_bytes(const struct hfsplit *p)
{
    return p->bytes;
}

/* --- running ---------------------------------------------------------------------------------- */

static int run_from(const struct hfsplit *p, struct pretok_run *run, size_t step, const char *s,
                    size_t len, bool first, struct err *e);

/* A piece of a text that is being cut, on its way to the next step. */
struct cutting {
    const struct hfsplit *p;
    struct pretok_run *run;
    size_t step;
    const char *s;
    bool first;
    size_t start, end; /* held back: empty where start == end */
    bool match;        /* what is held back, or was handed on last, is a match */
};

static int hand_on(void *arg, size_t start, size_t end, struct err *e)
{
    const struct cutting *c = arg;

    return run_from(c->p, c->run, c->step + 1, c->s + start, end - start, c->first && start == 0,
                    e);
}

static int release(struct cutting *c, struct err *e)
{
    size_t start = c->start, end = c->end;

    c->start = c->end;
    return start < end ? hand_on(c, start, end, e) : 0;
}

/* The next piece, which begins where the last one ended.  Held back while it may grow.  An empty
 * match counts as one: what stands before it and what follows are two. */
static int piece(struct cutting *c, size_t start, size_t end, bool match, struct err *e)
{
    const struct step *s = &c->p->steps[c->step];
    bool grows = false;
    int rc = 0;

    if (start == end && !match)
        return 0;
    match ^= s->invert;
    switch (s->behavior) {
    case ISOLATED:
        return hand_on(c, start, end, e);
    case REMOVED:
        return match ? 0 : hand_on(c, start, end, e);
    case MERGED_WITH_PREVIOUS:
        grows = match && !c->match;
        break;
    case MERGED_WITH_NEXT:
        grows = !match && c->match;
        break;
    case CONTIGUOUS:
        grows = match == c->match;
        break;
    }
    if (!grows || c->start == c->end) {
        rc = release(c, e);
        c->start = start;
    }
    c->end = end;
    c->match = match;
    return rc;
}

static int cut(const struct hfsplit *p, struct pretok_run *run, size_t step, const char *s,
               size_t len, bool first, struct err *e)
{
    struct cutting c = { .p = p, .run = run, .step = step, .s = s, .first = first };
    size_t done = 0, from = 0;
    bool any = false;
    int rc;

    /* PCRE2_NO_UTF_CHECK: checked by the caller; checking at each match would be quadratic. */
    while (from < len) {
        size_t start, end;
        int n = pcre2_match(p->steps[step].code, (PCRE2_SPTR)s, len, from, PCRE2_NO_UTF_CHECK,
                            run->match, run->context);

        if (n == PCRE2_ERROR_NOMATCH)
            break;
        if (n < 0)
            return err_set(e, n == PCRE2_ERROR_NOMEMORY ? ERR_NOMEM : ERR_INTERNAL,
                           "splitting a text into words failed: PCRE2 error %d", n);
        start = pcre2_get_ovector_pointer(run->match)[0];
        end = pcre2_get_ovector_pointer(run->match)[1];
        from = end;
        if (end <= start) { /* one character further, and not right behind another match */
            from = start < len ? start + (size_t)utf8_step(s + start, len - start) : len;
            if (end < start || (any && start == done))
                continue;
        }
        if ((rc = piece(&c, done, start, false, e)) || (rc = piece(&c, start, end, true, e)))
            return rc;
        done = end;
        any = true;
    }
    rc = piece(&c, done, len, false, e);
    return rc ? rc : release(&c, e);
}

/* The text rewritten in memory of its own: further steps may rewrite it again. */
static int rewritten(const struct hfsplit *p, struct pretok_run *run, size_t step, struct buf *b,
                     bool first, struct err *e)
{
    int rc = b->failed ? err_set(e, ERR_NOMEM, "no memory to split a text into words")
                       : run_from(p, run, step + 1, buf_str(b), b->len, first, e);

    buf_done(b);
    return rc;
}

static int metaspace(const struct hfsplit *p, struct pretok_run *run, size_t step, const char *s,
                     size_t len, bool first, struct err *e)
{
    const struct step *m = &p->steps[step];
    const char *mark = buf_str(&m->replacement);
    size_t n = m->replacement.len;
    struct buf b = { 0 };
    bool begins = *s == ' ' || (len >= n && memcmp(s, mark, n) == 0);

    if (!begins && (m->always || (m->first_only && first)))
        buf_put(&b, mark, n);
    for (size_t i = 0, end; i < len; i = end + 1) {
        const char *blank = memchr(s + i, ' ', len - i);

        end = blank ? (size_t)(blank - s) : len;
        buf_put(&b, s + i, end - i);
        if (blank)
            buf_put(&b, mark, n);
    }
    return rewritten(p, run, step, &b, first, e);
}

static int run_from(const struct hfsplit *p, struct pretok_run *run, size_t step, const char *s,
                    size_t len, bool first, struct err *e)
{
    struct cutting c = { .p = p, .run = run, .step = step, .s = s, .first = first };
    struct buf b = { 0 };

    if (len == 0)
        return 0;
    if (step == p->n)
        return run->word(run->arg, s, len, e);
    switch (p->steps[step].kind) {
    case STEP_CUT:
        break;
    case STEP_BERT:
        return hfbert_words(s, len, hand_on, &c, e);
    case STEP_METASPACE:
        return metaspace(p, run, step, s, len, first, e);
    case STEP_BLANK_FIRST:
        if (*s == ' ')
            return run_from(p, run, step + 1, s, len, first, e);
        buf_putc(&b, ' ');
        buf_put(&b, s, len);
        return rewritten(p, run, step, &b, first, e);
    case STEP_LETTERS:
        for (size_t i = 0; i < len; i++) {
            char letter[2];

            buf_put(&b, letter, vocab_byte_letter((unsigned char)s[i], letter));
        }
        return rewritten(p, run, step, &b, first, e);
    }
    return cut(p, run, step, s, len, first, e);
}

int hfsplit_run(const struct hfsplit *p, struct pretok_run *run, const char *text, size_t len,
                bool first, struct err *e)
{
    int rc = pretok_prepare(run, len, e);

    for (size_t i = 0; i < len && !rc;) {
        size_t good = i, bad;
        int step;

        while (good < len && (step = utf8_step(text + good, len - good)) > 0)
            good += (size_t)step;
        for (bad = good; bad < len && (step = utf8_step(text + bad, len - bad)) <= 0;)
            bad += step == 0 ? len - bad : (size_t)-step;
        rc = run_from(p, run, 0, text + i, good - i, first && i == 0, e);
        if (!rc && bad > good)
            rc = run->word(run->arg, text + good, bad - good, e);
        i = bad;
    }
    return rc;
}
