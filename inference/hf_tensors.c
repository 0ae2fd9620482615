/* hf_tensors.c - a folder's tensors under the names of a GGUF file, by the family's table.
 *
 * Parts of fused projections are runs of rows, so they stay where they are.  Only what is stored
 * transposed, mixed, or less 1, is copied.  A tensor that no row fits keeps its name, and
 * model_check() refuses it. */
#include <stdio.h>
#include <string.h>

#include "inference/hf.h"
#include "kernels/quant/quant.h"

enum { MAX_NUMBER = 9999 };

/* The layer's number, and of an expert's own tensor the expert's. */
struct numbers {
    unsigned at[2];
};

/* Does name fit the pattern?  '%' stands for a number, which goes to *n. */
static bool fits(const char *pattern, const char *name, struct numbers *numbers)
{
    for (size_t i = 0; *pattern; pattern++) {
        unsigned n = 0;
        size_t digits = 0;

        if (*pattern != '%') {
            if (*name++ != *pattern)
                return false;
            continue;
        }
        for (; name[digits] >= '0' && name[digits] <= '9' && n <= MAX_NUMBER; digits++)
            n = n * 10 + (unsigned)(name[digits] - '0');
        if (digits == 0 || n > MAX_NUMBER || (digits > 1 && *name == '0') || i == 2)
            return false;
        numbers->at[i++] = n;
        name += digits;
    }
    return *name == '\0';
}

static const struct arch_hf_tensor *find_row(const struct hf *h, const char *name,
                                             struct numbers *numbers)
{
    const struct arch_hf *hf = h->hf;
    size_t prefix = strlen(hf->prefix);

    if (strncmp(name, hf->prefix, prefix) == 0)
        name += prefix;
    for (size_t i = 0; i < sizeof hf->tensors / sizeof *hf->tensors && hf->tensors[i]; i++)
        for (const struct arch_hf_tensor *row = hf->tensors[i]; row->from; row++)
            if (fits(row->from, name, numbers))
                return row;
    return NULL;
}

static void put_numbers(const char *pattern, const struct numbers *numbers,
                        char out[static HF_NAME_BYTES])
{
    size_t len = 0, i = 0;

    for (; *pattern && len < HF_NAME_BYTES - 8; pattern++)
        if (*pattern == '%' && i < 2)
            len += (size_t)snprintf(out + len, 8, "%u", numbers->at[i++]);
        else
            out[len++] = *pattern;
    out[len] = '\0';
}

/* Tensors that have no prefix. */
static bool outside(const char *own)
{
    return strncmp(own, "lm_head.", strlen("lm_head.")) == 0 ||
           strcmp(own, "embed_out.weight") == 0;
}

/* Under which name it has a tensor; false: under none that it tells of. */
static bool spell(const struct arch_hf *hf, const char *name, char buf[static HF_NAME_BYTES])
{
    char own[HF_NAME_BYTES];
    struct numbers numbers = { 0 };

    for (size_t i = 0; i < sizeof hf->tensors / sizeof *hf->tensors && hf->tensors[i]; i++)
        for (const struct arch_hf_tensor *row = hf->tensors[i]; row->from; row++)
            for (size_t k = 0; k < 3 && row->to[k]; k++)
                if (fits(row->to[k], name, &numbers)) {
                    put_numbers(row->from, &numbers, own);
                    snprintf(buf, HF_NAME_BYTES, "%s%.*s", outside(own) ? "" : hf->prefix,
                             HF_NAME_BYTES - 40, own);
                    return true;
                }
    return false;
}

const char *hf_name(const struct arch *arch, const char *name, char buf[static HF_NAME_BYTES])
{
    for (size_t i = 0; arch->hf[i]; i++)
        if (spell(arch->hf[i], name, buf))
            return buf;
    snprintf(buf, HF_NAME_BYTES, "%s", name);
    return buf;
}

/* A copy [cols, rows] of a matrix [rows, cols] of plain floats, in blocks that stay in the cache.
 */
static int transpose(struct hf *h, struct tensor *t, struct err *e)
{
    enum { BLOCK = 32 };
    size_t rows = tensor_rows(t), cols = tensor_cols(t), each = quant_format(t->dtype)->block_bytes;
    const unsigned char *from = t->data;
    unsigned char *to;

    if (t->n_dims != 2)
        return 0; /* model_check() will say so */
    to = weights_room(h->w, t->bytes);
    if (!to)
        return err_set(e, ERR_NOMEM, "tensor %.100s: no memory for %zu bytes", t->name, t->bytes);
    for (size_t r0 = 0; r0 < rows; r0 += BLOCK)
        for (size_t c0 = 0; c0 < cols; c0 += BLOCK)
            for (size_t r = r0; r < rows && r < r0 + BLOCK; r++)
                for (size_t c = c0; c < cols && c < c0 + BLOCK; c++)
                    memcpy(to + (c * rows + r) * each, from + (r * cols + c) * each, each);
    t->data = to;
    t->mapped = false;
    t->shape[0] = cols;
    t->shape[1] = rows;
    return 0;
}

/* A copy in float32 with 1 added to each value. */
static int plus_one(struct hf *h, struct tensor *t, struct err *e)
{
    size_t n = tensor_count(t);
    float *to = weights_room(h->w, n * sizeof *to);

    if (!to)
        return err_set(e, ERR_NOMEM, "tensor %.100s: no memory for %zu values", t->name, n);
    quant_format(t->dtype)->decode(to, t->data, n);
    for (size_t i = 0; i < n; i++)
        to[i] += 1.0f;
    t->data = to;
    t->mapped = false;
    t->dtype = DTYPE_F32;
    t->bytes = n * sizeof *to;
    return 0;
}

/* A copy with the rows of all queries first, then of all keys, then of all values. */
static int ungroup(struct hf *h, struct tensor *t, struct err *e)
{
    size_t per = h->n_kv ? h->n_head / h->n_kv : 0; /* queries for each key */
    size_t head = t->shape[0] ? h->head_dim * (t->bytes / t->shape[0]) : 0;
    const unsigned char *from = t->data;
    unsigned char *to;

    if (per == 0 || h->n_head % h->n_kv || t->shape[0] != (h->n_head + 2 * h->n_kv) * h->head_dim)
        return 0; /* put_parts() will say so */
    to = weights_room(h->w, t->bytes);
    if (!to)
        return err_set(e, ERR_NOMEM, "tensor %.100s: no memory for %zu bytes", t->name, t->bytes);
    for (size_t k = 0; k < h->n_kv; k++, from += (per + 2) * head) {
        memcpy(to + k * per * head, from, per * head);
        memcpy(to + (h->n_head + k) * head, from + per * head, head);
        memcpy(to + (h->n_head + h->n_kv + k) * head, from + (per + 1) * head, head);
    }
    t->data = to;
    t->mapped = false;
    return 0;
}

/* What is left of a table without its first rows. */
static int skip_rows(const struct hf *h, struct tensor *t, struct err *e)
{
    size_t row = t->shape[0] ? t->bytes / t->shape[0] : 0;

    if (t->n_dims != 2 || t->shape[0] <= h->n_skip)
        return err_param(e, t->name, ERR_FORMAT,
                         "tensor %.100s has %zu rows, expected more than the %zu that are skipped",
                         t->name, t->shape[0], h->n_skip);
    t->data = (const unsigned char *)t->data + h->n_skip * row;
    t->bytes -= h->n_skip * row;
    t->shape[0] -= h->n_skip;
    return 0;
}

/* Rows (of a vector: values) of part i of a fused tensor of `all` rows; 0 where they do not come
 * out even. */
static size_t part_rows(const struct hf *h, const struct arch_hf_tensor *row, size_t i, size_t all)
{
    size_t q = h->n_head * h->head_dim, kv = h->n_kv * h->head_dim;

    if (row->to[2])
        return all == q + 2 * kv ? (i == 0 ? q : kv) : 0;
    if (!row->to[1])
        return all;
    return all % 2 == 0 ? all / 2 : 0;
}

/* Each part under its own name. */
static int put_parts(struct hf *h, const struct arch_hf_tensor *row, const struct numbers *numbers,
                     const struct tensor *t, struct err *e)
{
    size_t all = t->shape[0], at = 0, row_bytes = all ? t->bytes / all : 0;
    char name[HF_NAME_BYTES];

    for (size_t i = 0; i < 3 && row->to[i]; i++) {
        struct tensor part = *t;
        int rc;

        part.shape[0] = part_rows(h, row, i, all);
        if (part.shape[0] == 0)
            return err_param(e, t->name, ERR_FORMAT,
                             "tensor %.100s has %zu rows, which are not those of its %s", t->name,
                             all, row->to[2] ? "queries, keys and values" : "two halves");
        part.data = (const unsigned char *)t->data + at * row_bytes;
        part.bytes = part.shape[0] * row_bytes;
        at += part.shape[0];
        put_numbers(row->to[i], numbers, name);
        part.name = name;
        rc = weights_put_tensor(h->w, &part, e);
        if (rc)
            return rc;
    }
    return 0;
}

static const struct st_tensor *find_tensor(const struct hf *h, const struct arch_hf_tensor *row,
                                           struct numbers want)
{
    struct numbers n = { 0 };

    for (size_t i = 0; i < h->folder->tensors.n; i++) {
        const struct st_tensor *s = &h->folder->tensors.items[i];

        if (find_row(h, s->t.name, &n) == row && n.at[0] == want.at[0] && n.at[1] == want.at[1])
            return s->known ? s : NULL;
    }
    return NULL;
}

/* Heads' vectors as the rows of a matrix of float32.  The first one brings all the others along. */
static int put_stacked(struct hf *h, const struct arch_hf_tensor *row, struct numbers numbers,
                       const struct tensor *first, struct err *e)
{
    size_t n = strstr(row->to[0], "attn_k") ? h->n_kv : h->n_head, cols = tensor_count(first), all;
    struct tensor t = { .dtype = DTYPE_F32, .n_dims = 2, .shape = { n, cols, 1, 1 } };
    char name[HF_NAME_BYTES];
    float *to;

    h->n_stacked++;
    if (numbers.at[1] > 0)
        return 0;
    if (n == 0 || __builtin_mul_overflow(n, cols, &all) || all > SIZE_MAX / sizeof *to)
        return err_param(e, first->name, ERR_FORMAT, "tensor %.100s of %zu heads of %zu values",
                         first->name, n, cols);
    to = weights_room(h->w, all * sizeof *to);
    if (!to)
        return err_set(e, ERR_NOMEM, "tensor %.100s: no memory for %zu values", first->name, all);
    for (; numbers.at[1] < n; numbers.at[1]++) {
        const struct st_tensor *s = find_tensor(h, row, numbers);

        put_numbers(row->from, &numbers, name);
        if (!s || tensor_count(&s->t) != cols)
            return err_param(e, name, ERR_FORMAT, "tensor %s is %s", name,
                             s ? "not as long as that of the first head" : "missing");
        quant_format(s->t.dtype)->decode(to + numbers.at[1] * cols, s->t.data, cols);
    }
    h->n_stack_rows += n;
    put_numbers(row->to[0], &numbers, name);
    t.name = name;
    t.data = to;
    t.bytes = all * sizeof *to;
    return weights_put_tensor(h->w, &t, e);
}

/* All experts' matrices or biases. */
static int put_experts(struct hf *h, const struct arch_hf_tensor *row,
                       const struct numbers *numbers, const struct st_tensor *s, struct err *e)
{
    struct tensor parts[2];
    char name[HF_NAME_BYTES];
    int rc = hf_expert_parts(h, row, s, parts, e);

    for (size_t i = 0; rc == 0 && i < 2 && row->to[i]; i++) {
        put_numbers(row->to[i], numbers, name);
        parts[i].name = name;
        rc = weights_put_tensor(h->w, &parts[i], e);
    }
    return rc;
}

static int put_tensor(struct hf *h, const struct st_tensor *s, struct err *e)
{
    struct numbers numbers = { 0 };
    const struct arch_hf_tensor *row = find_row(h, s->t.name, &numbers);
    struct tensor t = s->t;
    char name[HF_NAME_BYTES];
    int rc = 0;

    if (row && !row->to[0])
        return 0;
    if (row && h->tied && strcmp(row->to[0], "output.weight") == 0)
        return 0; /* stored all the same; the embedding table counts */
    if (h->fp8 && hf_fp8_scale(h, s))
        return 0;
    if (h->fp8 && hf_is_fp8(s) && !(row && row->how & ~(unsigned)HF_GROUPED)) {
        if ((rc = hf_fp8_weight(h, s, &t, e)))
            return rc;
    } else if (!s->known && !(row && row->how & HF_MXFP4))
        return err_param(e, t.name, ERR_UNSUPPORTED,
                         "tensor %.100s is of type %s, which is not "
                         "supported",
                         t.name, s->type);
    if (tensor_count(&t) == 0)
        return err_param(e, t.name, ERR_FORMAT, "tensor %.100s is empty", t.name);
    if (!row)
        return weights_put_tensor(h->w, &t, e);
    if (row->how & HF_EXPERTS)
        return put_experts(h, row, &numbers, s, e);
    if (row->how & HF_TRANSPOSED)
        rc = transpose(h, &t, e);
    if (rc == 0 && row->how & HF_PLUS_ONE)
        rc = plus_one(h, &t, e);
    if (rc == 0 && row->how & HF_GROUPED)
        rc = ungroup(h, &t, e);
    if (rc == 0 && row->how & HF_SKIP_PAD)
        rc = skip_rows(h, &t, e);
    if (rc)
        return rc;
    if (row->how & HF_STACKED)
        return put_stacked(h, row, numbers, &t, e);
    if (row->to[1])
        return put_parts(h, row, &numbers, &t, e);
    put_numbers(row->to[0], &numbers, name);
    t.name = name;
    return weights_put_tensor(h->w, &t, e);
}

/* Was the model saved as its body alone?  "Qwen3Model", not "Qwen3ForCausalLM". */
static bool is_body(const struct hf *h)
{
    const struct value *list = value_get(h->config, "architectures");
    const struct value *name =
        list && list->kind == VALUE_LIST && list->list.len == 1 ? list->list.items[0] : NULL;
    size_t n = strlen("Model");

    return name && name->kind == VALUE_STRING && name->string.len > n &&
           strcmp(name->string.data + name->string.len - n, "Model") == 0;
}

int hf_put_tensors(struct hf *h, struct err *e)
{
    bool head = h->tied || h->arch->encoder;
    int rc = h->fp8 ? hf_fp8_begin(h, e) : 0;

    if (rc)
        return rc;
    for (size_t i = 0; i < h->folder->tensors.n; i++) {
        const struct st_tensor *s = &h->folder->tensors.items[i];
        struct numbers numbers;
        const struct arch_hf_tensor *row = find_row(h, s->t.name, &numbers);

        rc = put_tensor(h, s, e);
        if (rc)
            return rc;
        head |= row && row->to[0] && strcmp(row->to[0], "output.weight") == 0;
    }
    if (h->n_stacked != h->n_stack_rows)
        return err_set(e, ERR_FORMAT, "the folder has norms of %zu heads, expected %zu",
                       h->n_stacked, h->n_stack_rows);
    if (!head && is_body(h))
        return weights_put_bool(h->w, HF_NO_HEAD, true, e);
    if (!head)
        return err_param(e, "lm_head.weight", ERR_FORMAT,
                         "tensor lm_head.weight is missing, and config.json does not tie the head "
                         "to the embedding table (tie_word_embeddings)");
    return 0;
}

static int put_unfused(void *arg, struct weights *w, const struct tensor *t, struct err *e)
{
    struct hf *h = arg;
    struct numbers numbers = { 0 };

    for (const struct arch_hf_tensor *row = h->arch->fused; row->from; row++)
        if ((h->second_norm || !(row->how & HF_SECOND_NORM)) && fits(row->from, t->name, &numbers))
            return put_parts(h, row, &numbers, t, e);
    return weights_put_tensor(w, t, e);
}

/* A key of the family; 0 where it is absent or absurd: then parts do not come out even. */
static size_t count_key(const struct hf *h, const char *suffix)
{
    char key[96];
    uint64_t v = 0;

    snprintf(key, sizeof key, "%s.%s", h->arch->name, suffix);
    return weights_u64(h->w, key, &v, NULL) == 0 && v <= 1 << 20 ? (size_t)v : 0;
}

int hf_split_fused(struct weights *w, struct err *e)
{
    struct hf h = { .w = w };
    struct str name;

    if (weights_str(w, "general.architecture", &name, NULL) != 0)
        return 0; /* model_check() will say so */
    h.arch = arch_find(name.data, name.len);
    if (!h.arch || !h.arch->fused)
        return 0;
    h.n_head = count_key(&h, "attention.head_count");
    h.n_kv = count_key(&h, "attention.head_count_kv");
    h.head_dim = count_key(&h, "attention.key_length");
    if (!h.n_kv)
        h.n_kv = h.n_head;
    if (!h.head_dim && h.n_head)
        h.head_dim = count_key(&h, "embedding_length") / h.n_head;
    h.second_norm = weights_tensor(w, "blk.0.attn_norm_2.weight") != NULL;
    return weights_rebuild(w, put_unfused, &h, e);
}
