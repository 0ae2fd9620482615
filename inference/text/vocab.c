/* Everything is checked here, once: arrays of one length, ids below the number of tokens, types and
 * byte tokens of the known forms.  The rest of the room relies on it. */
#include "inference/text/vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

static const char lower_one_eighth[3] = { '\xe2', '\x96', '\x81' }; /* U+2581, a blank in SPM */

/* Is b one of the bytes that stand for themselves, as the character of the same number? */
static bool byte_is_own_letter(unsigned b)
{
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

/* The character that byte b is written as: itself, or U+0100 and on in the order of the bytes. */
static unsigned byte_letter(unsigned b)
{
    unsigned others = 0;

    if (byte_is_own_letter(b))
        return b;
    for (unsigned i = 0; i < b; i++)
        others += !byte_is_own_letter(i);
    return 0x100 + others;
}

size_t vocab_byte_letter(unsigned char b, char out[2])
{
    unsigned c = byte_letter(b);

    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

/* The other way: letters U+0000 .. U+017F to bytes, -1 where none. */
static void letters_to_bytes(int16_t byte[0x180])
{
    for (size_t i = 0; i < 0x180; i++)
        byte[i] = -1;
    for (unsigned b = 0; b < 256; b++)
        byte[byte_letter(b)] = (int16_t)b;
}

/* Text in the byte alphabet to bytes; a character outside of it stands for itself. */
static void put_bpe_piece(struct strtab *t, struct str s, const int16_t byte[0x180])
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        unsigned letter = c;
        size_t n = 1;
        char out;

        /* lead bytes C2 .. C5 hold U+0080 .. U+017F, the two-byte part of the alphabet */
        if (c >= 0xc2 && c < 0xc2 + 4 && i + 1 < s.len && (s.data[i + 1] & 0xc0) == 0x80) {
            letter = (unsigned)(c & 0x1f) << 6 | (unsigned)(s.data[i + 1] & 0x3f);
            n = 2;
        }
        if ((c < 0x80 || n == 2) && byte[letter] >= 0) {
            out = (char)byte[letter];
            strtab_put(t, &out, 1);
        } else {
            strtab_put(t, s.data + i, n);
        }
        i += n - 1;
    }
}

static void put_spm_piece(struct strtab *t, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.len - i >= 3 && memcmp(s.data + i, lower_one_eighth, 3) == 0) {
            strtab_put(t, " ", 1);
            i += 2;
        } else {
            strtab_put(t, s.data + i, 1);
        }
    }
}

/* "##ing" to "ing", "word" to " word". */
static void put_hashes_piece(struct strtab *t, struct str s)
{
    bool more = s.len > 2 && memcmp(s.data, "##", 2) == 0;

    if (!more)
        strtab_put(t, " ", 1);
    strtab_put(t, s.data + (more ? 2 : 0), s.len - (more ? 2 : 0));
}

/* "<0x0A>" to 10; -1 where s is not of that form. */
static int parse_byte(struct str s)
{
    static const char digits[] = "0123456789ABCDEF0123456789abcdef";
    int value = 0;

    if (s.len != 6 || memcmp(s.data, "<0x", 3) != 0 || s.data[5] != '>')
        return -1;
    for (size_t i = 3; i < 5; i++) {
        const char *d = memchr(digits, s.data[i], sizeof digits - 1);

        if (!d)
            return -1;
        value = value * 16 + (int)((d - digits) % 16);
    }
    return value;
}

/* What each token stands for.  Control tokens, and user-defined ones of BPE, are spelled as they
 * are. */
int vocab_make_pieces(struct vocab *v, struct err *e)
{
    int16_t byte[0x180];
    size_t bytes = v->texts.bytes + (v->hashes ? v->n : 0);
    int rc = strtab_init(&v->pieces, v->n, bytes, e);

    if (rc)
        return rc;
    letters_to_bytes(byte);
    for (size_t i = 0; i < v->n; i++) {
        struct str s = strtab_get(&v->texts, i);
        int b = v->type[i] == TOKEN_BYTE ? parse_byte(s) : -1;
        char c = (char)b;

        strtab_next(&v->pieces);
        if (v->type[i] == TOKEN_BYTE && b < 0)
            return err_set(e, ERR_FORMAT,
                           "%s: token %zu is of type byte but not of the form <0xXX>",
                           KEY("tokens"), i);
        if (b >= 0)
            strtab_put(&v->pieces, &c, 1);
        else if (vocab_is_control(v, i))
            strtab_put(&v->pieces, s.data, s.len);
        else if (v->hashes)
            put_hashes_piece(&v->pieces, s);
        else if (v->model != VOCAB_BPE)
            put_spm_piece(&v->pieces, s);
        else if (v->type[i] == TOKEN_USER)
            strtab_put(&v->pieces, s.data, s.len);
        else
            put_bpe_piece(&v->pieces, s, byte);
    }
    return 0;
}

/* A get function's result where an absent key is fine. */
static int optional(int rc)
{
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int load_texts(struct vocab *v, const struct weights *w, struct err *e)
{
    struct weights_array a;
    struct str *strs = NULL;
    size_t bytes = 0;
    int rc = weights_array(w, KEY("tokens"), &a, e);

    if (rc == ERR_NOTFOUND)
        return err_set(e, ERR_FORMAT, "%s is missing: the model file has no vocabulary",
                       KEY("tokens"));
    if (rc)
        return rc;
    if (a.kind != WEIGHTS_STR || a.len == 0 || a.len > INT32_MAX / 4)
        return err_set(e, ERR_FORMAT, "%s should be strings, at least one and below 2^29",
                       KEY("tokens"));
    v->n = a.len;
    strs = malloc(v->n * sizeof *strs);
    if (!strs)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", v->n);
    weights_array_strs(&a, strs);
    /* past 4 GiB strtab_init() refuses; stopping there keeps the sum from wrapping */
    for (size_t i = 0; i < v->n && bytes <= UINT32_MAX; i++)
        bytes += strs[i].len;
    if ((rc = strtab_init(&v->texts, v->n, bytes, e)))
        goto out;
    for (size_t i = 0; i < v->n; i++) {
        strtab_next(&v->texts);
        strtab_put(&v->texts, strs[i].data, strs[i].len);
    }
    if ((rc = strindex_init(&v->by_text, &v->texts, v->n, e)))
        goto out;
    for (size_t i = 0; i < v->n; i++)
        strindex_put(&v->by_text, i);
out:
    free(strs);
    return rc;
}

/* An array with one element for each token.  ERR_NOTFOUND where it is absent. */
static int token_array(const struct vocab *v, const struct weights *w, const char *key,
                       enum weights_kind kind, struct weights_array *a, struct err *e)
{
    int rc = weights_array(w, key, a, e);

    if (rc)
        return rc;
    if (a->kind != kind)
        return err_set(e, ERR_FORMAT, "%s is of the wrong element type", key);
    if (a->len != v->n)
        return err_set(e, ERR_FORMAT, "%s has %zu elements for %zu tokens", key, a->len, v->n);
    return 0;
}

static int load_types(struct vocab *v, const struct weights *w, struct err *e)
{
    struct weights_array a;
    int64_t *types;
    int rc;

    v->type = malloc(v->n);
    v->end = calloc(v->n, sizeof *v->end);
    if (!v->type || !v->end)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", v->n);
    memset(v->type, TOKEN_NORMAL, v->n);
    if ((rc = token_array(v, w, KEY("token_type"), WEIGHTS_INT, &a, e)))
        return optional(rc);
    types = malloc(v->n * sizeof *types);
    if (!types)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", v->n);
    weights_array_ints(&a, types);
    for (size_t i = 0; i < v->n && !rc; i++) {
        if (types[i] < TOKEN_UNDEFINED || types[i] > TOKEN_BYTE)
            rc = err_set(e, ERR_FORMAT, "%s: token %zu has type %lld, expected 1 to 6",
                         KEY("token_type"), i, (long long)types[i]);
        else
            v->type[i] = (uint8_t)types[i];
    }
    free(types);
    return rc;
}

static int load_scores(struct vocab *v, const struct weights *w, struct err *e)
{
    struct weights_array a;
    double *scores;
    int rc;

    v->score = calloc(v->n, sizeof *v->score);
    if (!v->score)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", v->n);
    if ((rc = token_array(v, w, KEY("scores"), WEIGHTS_FLOAT, &a, e)))
        return optional(rc);
    scores = malloc(v->n * sizeof *scores);
    if (!scores)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", v->n);
    weights_array_floats(&a, scores);
    for (size_t i = 0; i < v->n; i++)
        v->score[i] = (float)scores[i];
    free(scores);
    return 0;
}

/* The id under a key; `otherwise` (where the vocabulary is that large) when it is absent.
 * All ones is how files say "none". */
static int load_id(const struct vocab *v, const struct weights *w, const char *key,
                   int32_t otherwise, int32_t *out, struct err *e)
{
    uint64_t id = 0;
    int rc = weights_u64(w, key, &id, e);

    if (rc == ERR_NOTFOUND) {
        *out = otherwise < (int64_t)v->n ? otherwise : -1;
        return 0;
    }
    if (rc)
        return rc;
    if (id >= v->n && id != UINT32_MAX)
        return err_set(e, ERR_FORMAT, "%s is %llu, but there are only %zu tokens", key,
                       (unsigned long long)id, v->n);
    *out = id == UINT32_MAX ? -1 : (int32_t)id;
    return 0;
}

/* Texts that end a turn or a text in the model families of the day. */
static const char *const end_texts[] = {
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<eos>",
    "</s>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|return|>",
    "<|call|>",
    "<EOT>",
    "_<EOT>",
    "< EOT >",
    "[EOT]",
    "[EOS]",
    "<|eot|>",
    "<|eom|>",
    "<|end_of_turn|>",
    "<end_of_utterance>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
};

/* Only among control and user-defined tokens: "</s>" as plain text must not end an answer. */
static int32_t find_special(const struct vocab *v, const char *text)
{
    int32_t id = strindex_find(&v->by_text, text, strlen(text));

    if (id < 0 || (v->type[id] != TOKEN_CONTROL && v->type[id] != TOKEN_USER))
        return -1;
    return id;
}

void vocab_end_texts(struct vocab *v)
{
    int32_t id;

    for (size_t i = 0; i < sizeof end_texts / sizeof end_texts[0]; i++)
        if ((id = find_special(v, end_texts[i])) >= 0)
            v->end[id] = true;
    /* Harmony: <|end|> closes one message of several, <|return|> and <|call|> the turn. */
    if (find_special(v, "<|return|>") >= 0 && find_special(v, "<|call|>") >= 0 &&
        (id = find_special(v, "<|end|>")) >= 0)
        v->end[id] = false;
}

static int find_ends(struct vocab *v, const struct weights *w, struct err *e)
{
    static const char *const keys[] = { KEY("eot_token_id"), KEY("eom_token_id") };
    int32_t id;
    int rc;

    vocab_end_texts(v);
    if (v->eos >= 0 && v->model != VOCAB_WPM) /* whose separator ends no answer */
        v->end[v->eos] = true;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if ((rc = load_id(v, w, keys[i], -1, &id, e)))
            return rc;
        if (id >= 0)
            v->end[id] = true;
    }
    return 0;
}

/* BERT's tokens before and after a text; its files name them otherwise. */
static int load_frame(struct vocab *v, const struct weights *w, struct err *e)
{
    int rc = load_id(v, w, KEY("cls_token_id"), v->bos, &v->bos, e);

    return rc ? rc : load_id(v, w, KEY("seperator_token_id"), v->eos, &v->eos, e);
}

static int load_model(struct vocab *v, const struct weights *w, struct err *e)
{
    struct str name;
    int rc = weights_str(w, KEY("model"), &name, e);

    if (rc == ERR_NOTFOUND)
        return err_set(e, ERR_FORMAT, "%s is missing: the model file has no tokenizer",
                       KEY("model"));
    if (rc)
        return rc;
    if (name.len == 4 && memcmp(name.data, "gpt2", 4) == 0)
        v->model = VOCAB_BPE;
    else if (name.len == 5 && memcmp(name.data, "llama", 5) == 0)
        v->model = VOCAB_SPM;
    else if (name.len == 2 && memcmp(name.data, "t5", 2) == 0)
        v->model = VOCAB_UGM;
    else if (name.len == 4 && memcmp(name.data, "bert", 4) == 0)
        v->model = VOCAB_WPM;
    else
        return err_set(e, ERR_UNSUPPORTED,
                       "%s \"%.*s\" is not supported (only gpt2, llama, t5, bert)", KEY("model"),
                       (int)(name.len < 60 ? name.len : 60), name.data);
    return 0;
}

int vocab_load(struct vocab *v, const struct weights *w, struct err *e)
{
    /* what llama.cpp takes where a file says nothing */
    static const struct {
        int32_t bos, eos, unknown;
    } usual[] = {
        [VOCAB_BPE] = { -1, -1, -1 },
        [VOCAB_SPM] = { 1, 2, 0 },
        [VOCAB_UGM] = { -1, 1, 2 },
        [VOCAB_WPM] = { 101, 102, 100 },
    };
    bool scored;
    int rc;

    *v = (struct vocab){ 0 };
    if ((rc = load_model(v, w, e)) || (rc = load_texts(v, w, e)) || (rc = load_types(v, w, e)))
        goto fail;
    scored = v->model == VOCAB_SPM || v->model == VOCAB_UGM;
    if (scored && (rc = load_scores(v, w, e)))
        goto fail;
    if ((rc = vocab_make_pieces(v, e)))
        goto fail;
    if ((rc = load_id(v, w, KEY("bos_token_id"), usual[v->model].bos, &v->bos, e)) ||
        (rc = load_id(v, w, KEY("eos_token_id"), usual[v->model].eos, &v->eos, e)) ||
        (rc = load_id(v, w, KEY("unknown_token_id"), usual[v->model].unknown, &v->unknown, e)) ||
        (v->model == VOCAB_WPM && (rc = load_frame(v, w, e))) || (rc = find_ends(v, w, e)))
        goto fail;
    v->last = v->eos;
    v->add_space_prefix = v->model == VOCAB_SPM || v->model == VOCAB_WPM;
    v->add_bos = v->add_space_prefix;
    v->add_eos = v->model == VOCAB_UGM || v->model == VOCAB_WPM;
    if ((rc = optional(weights_bool(w, KEY("add_bos_token"), &v->add_bos, e))) ||
        (rc = optional(weights_bool(w, KEY("add_eos_token"), &v->add_eos, e))) ||
        (rc = optional(weights_bool(w, KEY("add_space_prefix"), &v->add_space_prefix, e))))
        goto fail;
    return 0;
fail:
    vocab_done(v);
    return rc;
}

void vocab_done(struct vocab *v)
{
    strtab_done(&v->texts);
    strtab_done(&v->pieces);
    strindex_done(&v->by_text);
    free(v->type);
    free(v->score);
    free(v->end);
    *v = (struct vocab){ 0 };
}
