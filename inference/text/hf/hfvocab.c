/* hfvocab - model.vocab and added_tokens as a struct vocab, and which ids play a special part.
 *
 * What ends a generation is what generation_config.json (or config.json) says, and the end-of-text
 * token of tokenizer_config.json; well-known texts count only where neither says anything. */
#include <stdlib.h>
#include <string.h>

#include "inference/text/hf/hftok.h"
#include "kernels/base/json.h"

enum { MAX_TOKENS = 1 << 22, MAX_DEPTH = 64 };

struct entry {
    struct str text;
    uint8_t type; /* enum token_type */
    bool used;
};

struct reading {
    struct entry *tokens; /* [cap], by id */
    size_t n, cap;        /* n: highest id + 1 */
};

/* The slot of an id; NULL where memory runs out. */
static struct entry *slot(struct reading *r, size_t id)
{
    if (id >= r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 4096;
        struct entry *tokens;

        while (cap <= id)
            cap *= 2;
        tokens = realloc(r->tokens, cap * sizeof *tokens);
        if (!tokens)
            return NULL;
        memset(tokens + r->cap, 0, (cap - r->cap) * sizeof *tokens);
        r->tokens = tokens;
        r->cap = cap;
    }
    if (id >= r->n)
        r->n = id + 1;
    return &r->tokens[id];
}

static int put(struct reading *r, int64_t id, struct str text, uint8_t type, struct err *e)
{
    struct entry *t;

    if (id < 0 || id >= MAX_TOKENS)
        return err_set(e, ERR_FORMAT,
                       "tokenizer.json: token \"%.60s\" has the id %lld, expected 0 "
                       "to %d",
                       text.data, (long long)id, MAX_TOKENS - 1);
    t = slot(r, (size_t)id);
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory for a vocabulary");
    *t = (struct entry){ text, type, true };
    return 0;
}

static bool is_byte(struct str s)
{
    return s.len == 6 && memcmp(s.data, "<0x", 3) == 0 && s.data[5] == '>' &&
           strspn(s.data + 3, "0123456789ABCDEF") == 2;
}

/* Unigram: a list of ["text", score], the ids in order. */
static int read_list(struct reading *r, const struct value *model, struct err *e)
{
    const struct value *vocab = value_get(model, "vocab");
    bool fallback = hf_flag(model, "byte_fallback", false);
    int rc = 0;

    for (size_t i = 0; i < vocab->list.len && !rc; i++) {
        const struct value *t = vocab->list.items[i];
        struct str text;

        if (t->kind != VALUE_LIST || t->list.len != 2 || t->list.items[0]->kind != VALUE_STRING)
            return err_set(e, ERR_FORMAT,
                           "tokenizer.json: model.vocab[%zu] is not a text and a "
                           "score",
                           i);
        text = (struct str){ t->list.items[0]->string.data, t->list.items[0]->string.len };
        rc = put(r, (int64_t)i, text, fallback && is_byte(text) ? TOKEN_BYTE : TOKEN_NORMAL, e);
    }
    return rc;
}

static int read_tokens(struct reading *r, const struct value *model, struct err *e)
{
    const struct value *vocab = value_get(model, "vocab");
    bool fallback = hf_flag(model, "byte_fallback", false);

    if (vocab && vocab->kind == VALUE_LIST && vocab->list.len > 0 &&
        strcmp(hf_type(model), "Unigram") == 0)
        return read_list(r, model, e);
    if (!vocab || vocab->kind != VALUE_MAP || vocab->map.len == 0)
        return err_set(e, ERR_FORMAT, "tokenizer.json: model.vocab is not an object with tokens");
    for (size_t i = 0; i < vocab->map.len; i++) {
        const struct value_pair *p = &vocab->map.pairs[i];
        struct str text = { p->key, p->key_len };
        int rc;

        if (p->value->kind != VALUE_INT)
            return err_set(e, ERR_FORMAT, "tokenizer.json: model.vocab: \"%.60s\" has no id",
                           p->key);
        rc = put(r, p->value->integer, text, fallback && is_byte(text) ? TOKEN_BYTE : TOKEN_NORMAL,
                 e);
        if (rc)
            return rc;
    }
    return 0;
}

/* The id of a text in model.vocab, or -1. */
static int64_t known_id(const struct value *vocab, const char *text, size_t len)
{
    const struct value *id = value_getn(vocab, text, len);

    for (size_t i = 0; vocab && vocab->kind == VALUE_LIST && i < vocab->list.len; i++) {
        const struct value *s = vocab->list.items[i]->list.items[0];

        if (s->string.len == len && memcmp(s->string.data, text, len) == 0)
            return (int64_t)i;
    }
    return id && id->kind == VALUE_INT ? id->integer : -1;
}

/* An added token that the vocabulary has too keeps its id there. */
static int read_added(struct reading *r, const struct value *json, struct err *e)
{
    const struct value *vocab = value_get(value_get(json, "model"), "vocab");
    const struct value *added = value_get(json, "added_tokens");

    for (size_t i = 0; added && added->kind == VALUE_LIST && i < added->list.len; i++) {
        const struct value *t = added->list.items[i], *id = value_get(t, "id");
        struct str text;
        int64_t n;
        int rc;

        text.data = hf_string(t, "content", &text.len);
        if (!text.data || !id || id->kind != VALUE_INT)
            return err_set(e, ERR_FORMAT, "tokenizer.json: added_tokens[%zu] needs id and content",
                           i);
        n = id->integer;
        /* usually their ids are those of the vocabulary, and one look tells */
        if (n < 0 || (size_t)n >= r->n || !r->tokens[n].used || r->tokens[n].text.len != text.len ||
            memcmp(r->tokens[n].text.data, text.data, text.len) != 0) {
            int64_t known = known_id(vocab, text.data, text.len);

            n = known >= 0 ? known : n;
        }
        rc = put(r, n, text, hf_flag(t, "special", false) ? TOKEN_CONTROL : TOKEN_USER, e);
        if (rc)
            return rc;
    }
    return 0;
}

/* Ids that nothing has are there all the same, and never used. */
static int fill(struct vocab *v, const struct reading *r, struct err *e)
{
    size_t bytes = 0;
    int rc;

    v->n = r->n;
    for (size_t i = 0; i < r->n; i++)
        bytes += r->tokens[i].text.len; /* all lie in one file: no wrap */
    if ((rc = strtab_init(&v->texts, v->n, bytes, e)) ||
        (rc = strindex_init(&v->by_text, &v->texts, v->n, e)))
        return rc;
    v->type = malloc(v->n);
    v->end = calloc(v->n, sizeof *v->end);
    if (!v->type || !v->end)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", v->n);
    for (size_t i = 0; i < r->n; i++) {
        strtab_next(&v->texts);
        strtab_put(&v->texts, r->tokens[i].text.data, r->tokens[i].text.len);
        v->type[i] = r->tokens[i].used ? r->tokens[i].type : TOKEN_UNUSED;
    }
    for (size_t i = 0; i < r->n; i++)
        if (r->tokens[i].used)
            strindex_put(&v->by_text, i);
    return 0;
}

/* --- decoder ---------------------------------------------------------------------------------- */

/* What tokens stand for: bytes by the byte alphabet, or text with another sign for the blank. */
struct decoding {
    bool bytes, blanks, strips;
};

static int read_decoder(void *arg, const struct value *v, struct err *e)
{
    struct decoding *d = arg;
    const char *type = hf_type(v), *s;
    size_t len;

    if (strcmp(type, "ByteLevel") == 0) {
        d->bytes = true;
    } else if (strcmp(type, "Metaspace") == 0) {
        s = hf_string(v, "prepend_scheme", &len);
        d->blanks = true;
        d->strips = s ? strcmp(s, "never") != 0 : hf_flag(v, "add_prefix_space", true);
    } else if (strcmp(type, "Replace") == 0) {
        s = hf_string(value_get(v, "pattern"), "String", &len);
        if (!s || strcmp(s, "\xe2\x96\x81") != 0)
            return err_set(e, ERR_UNSUPPORTED,
                           "tokenizer.json: a decoder that replaces \"%.40s\" is not supported",
                           s ? s : "an expression");
        d->blanks = true;
    } else if (strcmp(type, "Strip") == 0) {
        d->strips = true;
    } else if (strcmp(type, "ByteFallback") != 0 && strcmp(type, "Fuse") != 0) {
        return err_set(e, ERR_UNSUPPORTED, "tokenizer.json: the decoder \"%.60s\" is not supported",
                       type);
    }
    return 0;
}

static int set_decoding(struct vocab *v, const struct value *json, struct err *e)
{
    struct decoding d = { 0 };
    int rc;

    if (strcmp(hf_type(value_get(json, "model")), "WordPiece") == 0) { /* whatever the decoder is */
        v->model = VOCAB_WPM;
        v->add_space_prefix = v->hashes = true;
        return vocab_make_pieces(v, e);
    }
    rc = hf_each(value_get(json, "decoder"), "decoders", read_decoder, &d, e);
    if (rc)
        return rc;
    if (d.bytes == d.blanks)
        return err_set(e, ERR_UNSUPPORTED,
                       "tokenizer.json: expected a decoder of bytes or of blanks (ByteLevel, "
                       "Metaspace, Replace)");
    v->model = d.bytes ? VOCAB_BPE : VOCAB_SPM;
    v->add_space_prefix = d.strips;
    return vocab_make_pieces(v, e);
}

/* --- special ids ------------------------------------------------------------------------------ */

/* A list of ids that the folder's configuration gives; the first is *one, all are marked in *set.
 */
static int read_ids(const struct vocab *v, const struct weights *w, const char *key, int32_t *one,
                    bool *set, struct err *e)
{
    struct weights_array a;
    int64_t *ids;
    int rc = weights_array(w, key, &a, e);

    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    if (a.kind != WEIGHTS_INT)
        return err_set(e, ERR_FORMAT, "%s are no ids", key);
    ids = malloc((a.len + 1) * sizeof *ids);
    if (!ids)
        return err_set(e, ERR_NOMEM, "no memory for %zu ids", a.len);
    weights_array_ints(&a, ids);
    for (size_t i = 0; i < a.len; i++) {
        if (ids[i] < 0 || (uint64_t)ids[i] >= v->n) /* padding ids beyond the vocabulary are met */
            continue;
        if (*one < 0)
            *one = (int32_t)ids[i];
        if (set)
            set[ids[i]] = true;
    }
    free(ids);
    return 0;
}

/* "bos_token": a text, or an added token with its content. */
static int32_t named_token(const struct vocab *v, const struct value *settings, const char *name)
{
    size_t len;
    const char *s = hf_string(settings, name, &len);

    if (!s)
        s = hf_string(value_get(settings, name), "content", &len);
    return s ? strindex_find(&v->by_text, s, len) : -1;
}

/* The ids that "post_processor" puts before and after a text: at most one each. */
struct around {
    int32_t before, after; /* -1: none */
};

static int read_template(struct around *r, const struct value *v, struct err *e)
{
    const struct value *single = value_get(v, "single");
    bool seen = false;

    for (size_t i = 0; single && single->kind == VALUE_LIST && i < single->list.len; i++) {
        const struct value *token = value_get(single->list.items[i], "SpecialToken");
        const struct value *ids;
        size_t len;
        const char *name = hf_string(token, "id", &len);
        int32_t *to = seen ? &r->after : &r->before;

        if (!token) {
            seen = true;
            continue;
        }
        ids = value_get(value_get(value_get(v, "special_tokens"), name ? name : ""), "ids");
        if (!ids || ids->kind != VALUE_LIST || ids->list.len != 1 ||
            ids->list.items[0]->kind != VALUE_INT || ids->list.items[0]->integer < 0 ||
            ids->list.items[0]->integer > INT32_MAX || *to >= 0)
            return err_set(e, ERR_UNSUPPORTED,
                           "tokenizer.json: a post_processor with more than one token before or "
                           "after a text is not supported");
        *to = (int32_t)ids->list.items[0]->integer;
    }
    return 0;
}

/* ["</s>", 2] */
static int32_t pair_id(const struct value *v)
{
    const struct value *id =
        v && v->kind == VALUE_LIST && v->list.len == 2 ? v->list.items[1] : NULL;

    return id && id->kind == VALUE_INT && id->integer >= 0 && id->integer <= INT32_MAX
               ? (int32_t)id->integer
               : -1;
}

static int read_processor(void *arg, const struct value *v, struct err *e)
{
    struct around *r = arg;
    const char *type = hf_type(v);

    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(r, v, e);
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        r->before = pair_id(value_get(v, "cls"));
        r->after = pair_id(value_get(v, "sep"));
    } else if (strcmp(type, "ByteLevel") != 0) { /* which moves offsets only */
        return err_set(e, ERR_UNSUPPORTED,
                       "tokenizer.json: the post_processor \"%.60s\" is not supported", type);
    }
    return 0;
}

/* The classes of these names build their own template from two flags. */
static void read_flags(struct vocab *v, const struct value *settings, int32_t bos, int32_t eos)
{
    static const char *const classes[] = { "Llama", "CodeLlama", "Gemma" };
    size_t len;
    const char *name = hf_string(settings, "tokenizer_class", &len);

    for (size_t i = 0; name && i < sizeof classes / sizeof *classes; i++) {
        if (strncmp(name, classes[i], strlen(classes[i])) != 0)
            continue;
        if (bos >= 0) {
            v->add_bos = hf_flag(settings, "add_bos_token", v->add_bos);
            v->bos = bos;
        }
        if (eos >= 0)
            v->add_eos = hf_flag(settings, "add_eos_token", v->add_eos);
    }
}

static int set_special(struct vocab *v, const struct value *json, const struct value *settings,
                       const struct weights *w, struct err *e)
{
    struct around around = { -1, -1 };
    int32_t bos = named_token(v, settings, "bos_token"),
            eos = named_token(v, settings, "eos_token");
    size_t len;
    const struct value *id = value_get(value_get(json, "model"), "unk_id");
    const char *unknown = hf_string(value_get(json, "model"), "unk_token", &len);
    bool told = eos >= 0;
    int rc = hf_each(value_get(json, "post_processor"), "processors", read_processor, &around, e);

    v->bos = v->eos = -1;
    if (rc || (rc = read_ids(v, w, "tokenizer.huggingface.bos_token_ids", &v->bos, NULL, e)) ||
        (rc = read_ids(v, w, "tokenizer.huggingface.eos_token_ids", &v->eos, v->end, e)))
        return rc;
    told |= v->eos >= 0;
    if (eos >= 0) {
        v->eos = eos;
        v->end[eos] = true;
    }
    if (bos >= 0)
        v->bos = bos;
    if ((around.before >= 0 && (size_t)around.before >= v->n) ||
        (around.after >= 0 && (size_t)around.after >= v->n))
        return err_set(e, ERR_FORMAT, "tokenizer.json: post_processor has an id of no token");
    v->add_bos = around.before >= 0;
    if (v->add_bos)
        v->bos = around.before;
    if (around.after >= 0 && v->eos < 0)
        v->eos = around.after;
    v->add_eos = around.after >= 0;
    read_flags(v, settings, bos, eos);
    v->last = around.after >= 0 ? around.after : v->eos;
    v->unknown = unknown ? strindex_find(&v->by_text, unknown, len) : -1;
    if (id && id->kind == VALUE_INT && id->integer >= 0 && (size_t)id->integer < v->n)
        v->unknown = (int32_t)id->integer; /* Unigram's */
    if (!told)
        vocab_end_texts(v);
    return 0;
}

/* The tokenizer_config.json that belongs to it, NULL where there is none. */
static int read_settings(struct value **out, const struct weights *w, struct arena *a,
                         struct err *e)
{
    struct str text;
    int rc = weights_str(w, "tokenizer.huggingface.settings", &text, e);

    *out = NULL;
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    rc = json_parse(text.data, text.len, MAX_DEPTH, a, out, e);
    if (rc && e)
        err_prefix(e, "tokenizer_config.json: ");
    return rc;
}

int hfvocab_load(struct vocab *v, const struct value *json, const struct weights *w, struct err *e)
{
    struct reading r = { 0 };
    struct value *settings = NULL;
    struct arena a;
    int rc;

    *v = (struct vocab){ .bos = -1, .eos = -1, .unknown = -1 };
    arena_init(&a, 0);
    if ((rc = read_tokens(&r, value_get(json, "model"), e)) || (rc = read_added(&r, json, e)) ||
        (rc = fill(v, &r, e)) || (rc = set_decoding(v, json, e)) ||
        (rc = read_settings(&settings, w, &a, e)) || (rc = set_special(v, json, settings, w, e)))
        goto out;
out:
    arena_done(&a);
    free(r.tokens);
    return rc;
}
