#include "inference/text/hf/hfgguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/text/hf/hftok.h"
#include "inference/text/pretok.h"
#include "kernels/base/buf.h"
#include "kernels/base/json.h"

enum { MAX_DEPTH = 64, PAD_BYTES = 32 };

#define KEY(name) "tokenizer.ggml." name

/* What rules for splitting disagree about: contractions in both cases, runs of digits, of signs, of
 * blanks and of line ends, words after signs, changes of case, combining marks, other scripts,
 * other digits and blanks, emoji with joiners. */
static const char sample[] =
    "Hello world, it's they'RE I'LL don't we'Ve x'd 'S 'tis  1 12 123 1234 12345 123456 1234567\n"
    "a1b22c333 3.14 1,000,000 $5 #tag @me (x) [y] {z} <w> a/b a\\b !? ... --- ==> != ::\n\n\n"
    "\tif (x == 1) {\r\n\t\treturn \"y\";  // done\r\n\t}   \n \n  \n   end   \t  \t x\n"
    "camelCase HTTPServer fooBAR2baz _under_score 'quoted' \"twice\" it''s `code` ~x^y|z\n"
    "na\xc3\xafve caf\xc3\xa9 e\xcc\x81t\xc3\xa9 \xc3\x9c"
    "BER stra\xc3\x9f"
    "e \xc7\x85 \xca\xb0\n"
    "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82, \xd0\xbc\xd0\xb8\xd1\x80! "
    "\xce\xb1\xce\xb2\xce\xb3 \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d "
    "\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7 "
    "\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4 "
    "\xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d\xe0\xa4\xa4\xe0\xa5\x87 "
    "\xe0\xb8\xaa\xe0\xb8\xa7\xe0\xb8\xb1\xe0\xb8\xaa\xe0\xb8\x94\xe0\xb8\xb5\n"
    "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c\xef\xbc\x8c\xe3\x81\x93\xe3\x82\x93\xe3\x81"
    "\xab"
    "\xe3\x81\xa1\xe3\x81\xaf\xe3\x80\x82 \xec\x95\x88\xeb\x85\x95 "
    "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x93 "
    "\xe2\x85\xa7 x\xc2\xb2 \xc2\xbd \xe2\x82\xac"
    "5 \xe2\x80\x9cq\xe2\x80\x9d \xe2\x80\x94 \xe2\x80\xa6\n"
    "\xf0\x9f\x98\x80\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb \xf0\x9f\x87\xa9\xf0\x9f\x87\xaa "
    "a\xc2\xa0"
    "b \xe2\x80\x83\xe3\x80\x80z \xe2\x80\x8bw";

/* tokenizer.json, parsed, and its vocabulary. */
struct reading {
    struct arena arena;
    struct value *json;
    struct vocab vocab;
};

static int read_json(struct reading *r, const struct weights *from, struct err *e)
{
    struct str text = { "", 0 };
    int rc = weights_str(from, "tokenizer.huggingface.json", &text, e);

    if (rc == ERR_NOTFOUND)
        return err_set(e, ERR_FORMAT, "the folder has no tokenizer.json");
    if (!rc)
        rc = json_parse(text.data, text.len, MAX_DEPTH, &r->arena, &r->json, e);
    return rc ? rc : hfvocab_load(&r->vocab, r->json, from, e);
}

/* --- splitting -------------------------------------------------------------------------------- */

static int note_word(void *arg, const char *bytes, size_t len, struct err *e)
{
    struct buf *b = arg;

    (void)e;
    buf_put(b, bytes, len);
    buf_putc(b, '\0'); /* the sample has none */
    return 0;
}

/* The name of the rules that cut the sample into the same words, and agree on whether a word that
 * is a token is taken whole, or else (*close) do not; NULL: there is none. */
static int find_pre(const struct value *json, const char **pre, bool *close, struct err *e)
{
    static const char *const names[] = {
        "gpt-2",  "smollm", "llama-bpe",    "dbrx",           "qwen2",       "gpt-4o",
        "tekken", "falcon", "deepseek-llm", "deepseek-coder", "deepseek-v3", "default"
    };
    bool whole = hf_flag(value_get(json, "model"), "ignore_merges", false);
    struct buf words = { 0 }, others = { 0 };
    struct pretok_run run = { .word = note_word, .arg = &words };
    struct hfsplit *split = NULL;
    int rc = hfsplit_create(&split, json, e);

    *pre = NULL;
    *close = false;
    if (!rc)
        rc = hfsplit_run(split, &run, sample, sizeof sample - 1, true, e);
    run.arg = &others;
    for (size_t i = 0; i < sizeof names / sizeof *names && !rc && (!*pre || *close); i++) {
        struct pretok *p;

        buf_reset(&others);
        rc = pretok_create(&p, (struct str){ names[i], strlen(names[i]) }, e);
        if (rc)
            break;
        rc = pretok_split(p, &run, sample, sizeof sample - 1, e);
        if (!rc && words.len == others.len && memcmp(words.data, others.data, words.len) == 0 &&
            (!*pre || pretok_ignores_merges(p) == whole)) {
            *pre = names[i];
            *close = pretok_ignores_merges(p) != whole;
        }
        pretok_free(p);
    }
    pretok_run_done(&run);
    hfsplit_free(split);
    buf_done(&words);
    buf_done(&others);
    return rc;
}

/* --- tokens ----------------------------------------------------------------------------------- */

static int put_tokens(struct weights *to, const struct vocab *v, size_t n_vocab, struct err *e)
{
    size_t n = v->n > n_vocab ? v->n : n_vocab;
    struct str *texts = malloc((n + 1) * sizeof *texts);
    char(*pads)[PAD_BYTES] = malloc((n + 1) * sizeof *pads);
    int64_t *types = malloc((n + 1) * sizeof *types);
    int rc = 0;

    if (!texts || !pads || !types)
        rc = err_set(e, ERR_NOMEM, "no memory for %zu tokens", n);
    for (size_t i = 0; i < n && !rc; i++) {
        bool used = i < v->n && v->texts.start[i + 1] > v->texts.start[i];

        types[i] = used ? v->type[i] : TOKEN_UNUSED;
        snprintf(pads[i], sizeof pads[i], "[PAD%zu]", i);
        texts[i] = used ? strtab_get(&v->texts, i) : (struct str){ pads[i], strlen(pads[i]) };
    }
    if (!rc)
        rc = weights_put_strs(to, KEY("tokens"), texts, n, e);
    if (!rc)
        rc = weights_put_ints(to, KEY("token_type"), types, n, e);
    free(texts);
    free(pads);
    free(types);
    return rc;
}

/* Merges "left right" for byte-level BPE. */
static int put_merges(struct weights *to, const struct value *merges, struct arena *a,
                      struct err *e)
{
    size_t n = merges->list.len;
    struct str *texts = arena_array(a, n + 1, sizeof *texts);

    if (!texts)
        return err_set(e, ERR_NOMEM, "no memory for %zu merges", n);
    for (size_t i = 0; i < n; i++) {
        struct str left, right;
        char *joined;

        if (hf_merge(merges->list.items[i], &left, &right))
            return err_set(e, ERR_FORMAT, "tokenizer.json: model.merges[%zu] is not two texts", i);
        joined = arena_alloc(a, left.len + right.len + 1);
        if (!joined)
            return err_set(e, ERR_NOMEM, "no memory for %zu merges", n);
        memcpy(joined, left.data, left.len);
        joined[left.len] = ' ';
        memcpy(joined + left.len + 1, right.data, right.len);
        texts[i] = (struct str){ joined, left.len + right.len + 1 };
    }
    return weights_put_strs(to, KEY("merges"), texts, n, e);
}

/* SentencePiece's BPE joins what makes the token of the highest score: the earlier a merge, the
 * higher its token's. */
static int put_scores(struct weights *to, const struct vocab *v, size_t n_vocab,
                      const struct value *merges, struct arena *a, struct err *e)
{
    const double last = -1e9; /* of what no merge makes */
    size_t n = v->n > n_vocab ? v->n : n_vocab;
    double *scores = arena_array(a, n + 1, sizeof *scores);
    struct buf joined = { 0 };
    int rc = scores ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu scores", n);

    for (size_t i = 0; i < n && !rc; i++)
        scores[i] = i < v->n && v->type[i] == TOKEN_NORMAL ? last : 0;
    for (size_t i = 0; i < merges->list.len && !rc; i++) {
        struct str left, right;
        int32_t id;

        if (hf_merge(merges->list.items[i], &left, &right)) {
            rc = err_set(e, ERR_FORMAT, "tokenizer.json: model.merges[%zu] is not two texts", i);
            break;
        }
        buf_reset(&joined);
        buf_put(&joined, left.data, left.len);
        buf_put(&joined, right.data, right.len);
        id = joined.failed ? -1 : strindex_find(&v->by_text, buf_str(&joined), joined.len);
        if (id >= 0 && scores[id] == last)
            scores[id] = -(double)(i + 1);
    }
    if (!rc)
        rc = weights_put_floats(to, KEY("scores"), scores, n, e);
    buf_done(&joined);
    return rc;
}

/* bos, eos, and up to two more that end a text. */
static int put_ids(struct weights *to, const struct vocab *v, struct err *e)
{
    const char *more[] = { KEY("eot_token_id"), KEY("eom_token_id") };
    int rc = 0;

    if (v->bos >= 0)
        rc = weights_put_u64(to, KEY("bos_token_id"), (uint64_t)v->bos, e);
    if (!rc && v->eos >= 0)
        rc = weights_put_u64(to, KEY("eos_token_id"), (uint64_t)v->eos, e);
    if (!rc && v->unknown >= 0)
        rc = weights_put_u64(to, KEY("unknown_token_id"), (uint64_t)v->unknown, e);
    for (size_t i = 0, k = 0; i < v->n && k < 2 && !rc; i++)
        if (v->end[i] && (int32_t)i != v->eos)
            rc = weights_put_u64(to, more[k++], i, e);
    if (!rc)
        rc = weights_put_bool(to, KEY("add_bos_token"), v->add_bos, e);
    if (!rc && v->last != v->eos)
        return weights_put_bool(to, KEY("add_eos_token"), false,
                                e); /* hfgguf_compare() will tell */
    return rc ? rc : weights_put_bool(to, KEY("add_eos_token"), v->add_eos, e);
}

/* WordPiece's tokens with U+2581 before those that begin a word, in place of ## before others. */
static int put_wordpieces(struct weights *to, struct reading *r, size_t n_vocab, struct err *e)
{
    const struct vocab *v = &r->vocab;
    size_t n = v->n > n_vocab ? v->n : n_vocab;
    struct str *texts = arena_array(&r->arena, n + 1, sizeof *texts);
    int64_t *types = arena_array(&r->arena, n + 1, sizeof *types);
    int rc = 0;

    if (!texts || !types)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", n);
    for (size_t i = 0; i < n; i++) {
        struct str s = i < v->n ? strtab_get(&v->texts, i) : (struct str){ "", 0 };
        bool more = s.len > 2 && memcmp(s.data, "##", 2) == 0;
        char *text = arena_alloc(&r->arena, s.len + PAD_BYTES);

        if (!text)
            return err_set(e, ERR_NOMEM, "no memory for %zu tokens", n);
        types[i] = s.len ? v->type[i] : TOKEN_UNUSED;
        if (!s.len)
            snprintf(text, PAD_BYTES, "[PAD%zu]", i);
        else
            snprintf(text, s.len + PAD_BYTES, "%s%.*s",
                     more || vocab_is_control(v, i) ? "" : "\xe2\x96\x81",
                     (int)(s.len - (more ? 2 : 0)), s.data + (more ? 2 : 0));
        texts[i] = (struct str){ text, strlen(text) };
    }
    if ((rc = weights_put_copy(to, KEY("model"), (struct str){ "bert", 4 }, e)) ||
        (rc = weights_put_copy(to, KEY("pre"), (struct str){ "default", 7 }, e)) ||
        (rc = weights_put_strs(to, KEY("tokens"), texts, n, e)) ||
        (rc = weights_put_ints(to, KEY("token_type"), types, n, e)) || (rc = put_ids(to, v, e)))
        return rc;
    if (v->bos >= 0 && (rc = weights_put_u64(to, KEY("cls_token_id"), (uint64_t)v->bos, e)))
        return rc;
    return v->last < 0 ? 0 : weights_put_u64(to, KEY("seperator_token_id"), (uint64_t)v->last, e);
}

static int put_all(struct weights *to, struct reading *r, size_t n_vocab, struct err *note,
                   struct err *e)
{
    const struct value *model = value_get(r->json, "model"), *merges = value_get(model, "merges");
    const struct vocab *v = &r->vocab;
    bool bytes = v->model == VOCAB_BPE, close = false;
    const char *name = bytes ? "gpt2" : "llama", *pre = "default";
    int rc = 0;

    if (v->model == VOCAB_WPM)
        return put_wordpieces(to, r, n_vocab, e);
    if (!merges || merges->kind != VALUE_LIST) {
        err_set(note, ERR_UNSUPPORTED,
                "GGUF's own keys are not written for a tokenizer of the kind \"%.40s\"; the file "
                "has tokenizer.json instead, which llama.cpp does not read",
                hf_type(model));
        return 0;
    }
    if (bytes && (rc = find_pre(r->json, &pre, &close, e)))
        return rc;
    if (close)
        err_set(note, ERR_UNSUPPORTED,
                "GGUF's name for the way in which this tokenizer splits texts (%s) %s that words "
                "which are tokens "
                "are taken whole; the file has tokenizer.json too, which llama.cpp does not read: "
                "some of its ids "
                "may be others",
                pre, hf_flag(model, "ignore_merges", false) ? "does not say" : "says");
    if (!pre)
        err_set(note, ERR_UNSUPPORTED,
                "GGUF has no name for the way in which this tokenizer splits texts; the file has "
                "tokenizer.json too, which llama.cpp does not read: it will give other ids");
    if ((rc = weights_put_copy(to, KEY("model"), (struct str){ name, strlen(name) }, e)) ||
        (pre && (rc = weights_put_copy(to, KEY("pre"), (struct str){ pre, strlen(pre) }, e))) ||
        (rc = put_tokens(to, v, n_vocab, e)) || (rc = put_ids(to, v, e)))
        return rc;
    if (bytes)
        return put_merges(to, merges, &r->arena, e);
    rc = weights_put_bool(to, KEY("add_space_prefix"), v->add_space_prefix, e);
    return rc ? rc : put_scores(to, v, n_vocab, merges, &r->arena, e);
}

int hfgguf_put(struct weights *to, const struct weights *from, size_t n_vocab, struct err *note,
               struct err *e)
{
    struct reading r = { 0 };
    int rc;

    note->text[0] = '\0';
    arena_init(&r.arena, 0);
    rc = read_json(&r, from, e);
    if (!rc)
        rc = put_all(to, &r, n_vocab, note, e);
    vocab_done(&r.vocab);
    arena_done(&r.arena);
    return rc;
}

/* --- comparing -------------------------------------------------------------------------------- */

/* The sample, and each control token after it with and without a blank before and behind. */
static void fill_text(struct buf *b, const struct tokenizer *t)
{
    buf_put(b, sample, sizeof sample - 1);
    for (size_t i = 0; i < tokenizer_n_vocab(t); i++)
        if (tokenizer_is_control(t, (int32_t)i)) {
            struct str s = tokenizer_piece(t, (int32_t)i, true);

            buf_put(b, s.data, s.len);
            buf_puts(b, "word ");
            buf_put(b, s.data, s.len);
            buf_puts(b, " \n");
        }
}

static bool same_ends(const struct tokenizer *a, const struct tokenizer *b)
{
    for (size_t i = 0; i < tokenizer_n_vocab(b); i++)
        if (tokenizer_is_end(a, (int32_t)i) != tokenizer_is_end(b, (int32_t)i))
            return false;
    return true;
}

int hfgguf_compare(const struct weights *keys, const struct weights *from, struct err *note,
                   struct err *e)
{
    struct tokenizer *theirs = NULL, *ours = NULL;
    struct ids a = { 0 }, b = { 0 };
    struct buf text = { 0 };
    bool same = true;
    int rc;

    note->text[0] = '\0';
    if ((rc = tokenizer_open(&theirs, keys, e)) || (rc = tokenizer_open(&ours, from, e)))
        goto out;
    fill_text(&text, ours);
    if (text.failed)
        rc = err_set(e, ERR_NOMEM, "no memory for a text with all control tokens");
    for (int parse = 0; parse < 2 && !rc && same; parse++) {
        struct encode_options o = { .add_special = true, .parse_special = parse };

        a.len = b.len = 0;
        if ((rc = tokenizer_encode(theirs, text.data, text.len, &o, &a, e)) ||
            (rc = tokenizer_encode(ours, text.data, text.len, &o, &b, e)))
            break;
        same = a.len == b.len && memcmp(a.data, b.data, a.len * sizeof *a.data) == 0;
    }
    if (!rc && !same)
        err_set(note, ERR_UNSUPPORTED,
                "GGUF's own keys do not tell all of this tokenizer (its normal form, or what "
                "its special tokens do with blanks); the file has tokenizer.json too, which "
                "llama.cpp does not read: some of its ids will be others");
    else if (!rc && !same_ends(theirs, ours))
        err_set(note, ERR_UNSUPPORTED,
                "GGUF's own keys do not tell exactly which tokens end a text; the file has "
                "tokenizer.json too, which llama.cpp does not read");
out:
    ids_done(&a);
    ids_done(&b);
    buf_done(&text);
    tokenizer_close(theirs);
    tokenizer_close(ours);
    return rc;
}
