/* model_check.c - is this file a model that we can run?  Every number is bounded, every tensor
 * accounted for.
 *
 * What the forward pass would silently ignore (an unknown tensor, a scaling that changes results)
 * is refused by name instead.  Keys are those of ggml's docs/gguf.md. */
#include "inference/hf.h"
#include "inference/model_attention.h"
#include "inference/model_experts.h"
#include "inference/model_keys.h"
#include "inference/model_rope.h"
#include "inference/model_slots.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/buf.h"
#include "kernels/quant/quant.h"

/* Bounds: far above every published model, small enough that no product of three of them wraps. */
enum {
    MAX_LAYERS = MODEL_MAX_LAYERS,
    MAX_EMBD = 1 << 17,
    MAX_HEADS = 1024,
    MAX_HEAD_DIM = 1024,
    MAX_FF = 1 << 20,
    MAX_VOCAB = 1 << 22,
    MAX_CONTEXT = 1 << 30,
};

/* Names what is supported where the file's family is not. */
static int find_arch(struct model *m, const struct weights *w, struct err *e)
{
    struct str name = { "", 0 };
    struct buf known = { 0 };
    size_t n;
    const struct arch *const *all = arch_all(&n);
    int rc = weights_str(w, "general.architecture", &name, e);

    if (rc == ERR_NOTFOUND)
        return err_set(e, ERR_FORMAT, "metadata key general.architecture is missing");
    if (rc)
        return rc;
    m->arch = arch_find(name.data, name.len);
    if (m->arch)
        return 0;
    for (size_t i = 0; i < n; i++)
        buf_printf(&known, "%s%s", i ? ", " : "", all[i]->name);
    rc = err_set(e, ERR_UNSUPPORTED, "architecture \"%.*s\" is not supported; supported are: %s",
                 (int)(name.len < 64 ? name.len : 64), name.data, buf_str(&known));
    buf_done(&known);
    return rc;
}

/* Widths and counts.  Without attention.key_length a head has n_embd / n_head values; attention and
 * embedding widths are otherwise independent (Gemma 3 270M: 4 heads of 256 beside n_embd 640). */
static int read_sizes(struct model *m, const struct keys *k, struct err *e)
{
    size_t value_len;
    int rc;

    if ((rc = key_size(k, "block_count", true, 1, MAX_LAYERS, &m->n_layers, e)) ||
        (rc = key_size(k, "embedding_length", true, 1, MAX_EMBD, &m->n_embd, e)) ||
        (rc = key_size(k, "feed_forward_length", true, 1, MAX_FF, &m->n_ff, e)) ||
        (rc = key_size(k, "context_length", true, 1, MAX_CONTEXT, &m->n_ctx_train, e)) ||
        (rc = key_size(k, "attention.head_count", true, 1, MAX_HEADS, &m->n_head, e)))
        return rc;
    m->n_kv = m->n_head;
    if ((rc = key_size(k, "attention.head_count_kv", false, 1, MAX_HEADS, &m->n_kv, e)))
        return rc;
    if (m->n_head % m->n_kv)
        return err_set(e, ERR_FORMAT, "%zu attention heads cannot share %zu key-value heads evenly",
                       m->n_head, m->n_kv);
    m->head_dim = m->n_embd / m->n_head;
    if ((rc = key_size(k, "attention.key_length", false, 2, MAX_HEAD_DIM, &m->head_dim, e)))
        return rc;
    if (m->head_dim == 0 || m->head_dim > MAX_HEAD_DIM || m->head_dim % 2)
        return err_set(e, ERR_FORMAT,
                       "attention heads of %zu values; expected an even number up to %d",
                       m->head_dim, MAX_HEAD_DIM);
    value_len = m->head_dim;
    if ((rc = key_size(k, "attention.value_length", false, 1, MAX_HEAD_DIM, &value_len, e)))
        return rc;
    if (value_len != m->head_dim)
        return err_set(e, ERR_UNSUPPORTED, "value heads of %zu values beside key heads of %zu",
                       value_len, m->head_dim);
    m->n_rot = m->head_dim;
    if ((rc = key_size(k, "rope.dimension_count", false, 2, m->head_dim, &m->n_rot, e)))
        return rc;
    if (m->n_rot % 2)
        return err_set(e, ERR_FORMAT, "%zu rotated values of a head; expected an even number",
                       m->n_rot);
    return 0;
}

/* Granite's multipliers: of the embeddings, of what each part of a layer adds, and the logits'
 * divisor.  Elsewhere refuse_others() sees them. */
static int read_multipliers(struct model *m, const struct keys *k, struct err *e)
{
    double embed = m->embed_scale, residual = 1, logits = 1;
    int rc;

    if (m->arch->multipliers &&
        ((rc = key_real(k, "embedding_scale", false, 1e-6, 1e6, &embed, e)) ||
         (rc = key_real(k, "residual_scale", false, 1e-6, 1e6, &residual, e)) ||
         (rc = key_real(k, "logit_scale", false, 1e-6, 1e6, &logits, e))))
        return rc;
    m->embed_scale = (float)(embed / residual);
    m->stream_eps = (float)((double)m->norm_eps / (residual * residual));
    m->logit_scale = (float)(1 / logits);
    return 0;
}

/* Does a position see those behind it, too?  A decoder's file may say so: then it is an encoder. */
static int read_sight(struct model *m, const struct keys *k, struct err *e)
{
    char name[MAX_KEY_BYTES];
    bool causal = !m->arch->encoder;
    int rc = weights_bool(k->w, key_name(k, "attention.causal", name), &causal, e);

    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (causal && m->arch->encoder)
        return err_set(e, ERR_UNSUPPORTED, "metadata key %s is true, which is not supported", name);
    m->encoder = !causal;
    m->headless = m->encoder || weights_has(k->w, HF_NO_HEAD);
    return 0;
}

/* How a layer's parts stand to each other, and the feed-forward part's function. */
static int read_block(struct model *m, const struct keys *k, struct err *e)
{
    char name[MAX_KEY_BYTES];
    struct str act = { "", 0 };
    int rc = weights_str(k->w, key_name(k, "hidden_activation", name), &act, e);

    m->act = m->arch->act;
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (rc == 0 && !arch_find_act(act.data, act.len, &m->act))
        return err_set(e, ERR_UNSUPPORTED, "metadata key %s is \"%.*s\", which is not supported",
                       name, (int)(act.len < 40 ? act.len : 40), act.data);
    m->parallel = m->arch->parallel != ARCH_SEQUENTIAL;
    if (m->arch->parallel == ARCH_PARALLEL_BY_NORM)
        m->parallel = !slot_tensor(m, k->w, 0, SLOT_FFN_NORM);
    if (m->arch->parallel == ARCH_PARALLEL_BY_KEY) {
        rc = weights_bool(k->w, key_name(k, "use_parallel_residual", name), &m->parallel, e);
        if (rc && rc != ERR_NOTFOUND)
            return rc;
    }
    rc = read_sight(m, k, e);
    if (rc)
        return rc;
    rc = key_real(k, "attention.max_alibi_bias", false, 0, 1e3, &m->max_alibi, e);
    if (rc)
        return rc;
    if (m->max_alibi > 0 && !m->arch->alibi)
        return err_set(e, ERR_UNSUPPORTED, "ALiBi in a model of family %s", m->arch->name);
    return 0;
}

/* Keys that would change the result, with the value at which they do not. */
static int refuse_others(const struct model *m, const struct keys *k, struct err *e)
{
    static const struct {
        const char *suffix;
        double neutral;
        bool multiplier;
    } keys[] = {
        { "logit_scale", 1, true },           { "residual_scale", 1, true },
        { "embedding_scale", 1, true },       { "attention.clamp_kqv", 0, false },
        { "nextn_predict_layers", 0, false },
    };
    char name[MAX_KEY_BYTES];

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double v = keys[i].neutral;
        int rc = key_real(k, keys[i].suffix, false, -1e12, 1e12, &v, e);

        if (rc)
            return rc;
        if (v != keys[i].neutral && v != 0 && !(keys[i].multiplier && m->arch->multipliers))
            return err_set(e, ERR_UNSUPPORTED, "metadata key %s is %g, which is not supported",
                           key_name(k, keys[i].suffix, name), v);
    }
    return 0;
}

static int check_plain(const struct tensor *t, const char *name, struct err *e)
{
    const struct quant_format *f = quant_format(t->dtype);

    if (f->block_values > 1)
        return err_param(e, name, ERR_UNSUPPORTED, "tensor %s is of type %s; expected plain floats",
                         name, f->name);
    return 0;
}

/* rows 0: a vector of cols values, which must be plain floats. */
static int check_tensor(const struct model *m, const struct tensor *t, const char *name,
                        size_t rows, size_t cols, struct err *e)
{
    const struct quant_format *f;
    char own[HF_NAME_BYTES];
    int dims = rows ? 2 : 1;

    if (m->huggingface)
        name = hf_name(m->arch, name, own);
    if (!t)
        return err_param(e, name, ERR_FORMAT, "tensor %s is missing", name);
    f = quant_format(t->dtype);
    if (!f)
        return err_param(e, name, ERR_UNSUPPORTED, "tensor %s is of unsupported type %d", name,
                         (int)t->dtype);
    if ((t->n_dims != dims && (rows || t->n_dims != 2)) || tensor_rows(t) != (rows ? rows : 1) ||
        tensor_cols(t) != cols)
        return err_param(e, name, ERR_FORMAT,
                         "tensor %s has %d dimensions, [%zu, %zu]; expected %d, [%zu, %zu]", name,
                         t->n_dims, tensor_rows(t), tensor_cols(t), dims, rows ? rows : 1, cols);
    return rows ? 0 : check_plain(t, name, e);
}

/* The tensors outside of layers.  The vocabulary is as large as the embedding table, of a folder
 * as its config.json says.  No output.weight means that the head is the embedding table. */
static int check_globals(struct model *m, const struct keys *k, struct err *e)
{
    const struct weights *w = k->w;
    const struct tensor *embed = weights_tensor(w, "token_embd.weight");
    const struct tensor *head = weights_tensor(w, "output.weight");
    const struct tensor *factors = weights_tensor(w, "rope_freqs.weight");
    const struct tensor *types = weights_tensor(w, "token_types.weight");
    struct weights_array tokens;
    int rc;

    m->n_vocab = embed ? tensor_rows(embed) : 0;
    if (m->huggingface && (rc = key_size(k, "vocab_size", false, 1, MAX_VOCAB, &m->n_vocab, e)))
        return rc;
    if ((rc = check_tensor(m, embed, "token_embd.weight", m->n_vocab ? m->n_vocab : 1, m->n_embd,
                           e)))
        return rc;
    if (m->n_vocab > MAX_VOCAB)
        return err_set(e, ERR_FORMAT, "vocabulary of %zu tokens, expected at most %d", m->n_vocab,
                       MAX_VOCAB);
    if (head && (rc = check_tensor(m, head, "output.weight", m->n_vocab, m->n_embd, e)))
        return rc;
    if (factors && m->arch->rope != ROPE_NONE &&
        (rc = check_tensor(m, factors, "rope_freqs.weight", 0, m->n_rot / 2, e)))
        return rc;
    if (m->arch->rope != ROPE_NONE &&
        (weights_tensor(w, ROPE_SHORT) || weights_tensor(w, ROPE_LONG)) &&
        ((rc = check_tensor(m, weights_tensor(w, ROPE_SHORT), ROPE_SHORT, 0, m->n_rot / 2, e)) ||
         (rc = check_tensor(m, weights_tensor(w, ROPE_LONG), ROPE_LONG, 0, m->n_rot / 2, e))))
        return rc;
    rc = weights_array(w, "tokenizer.ggml.tokens", &tokens, e);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    /* More rows than tokens is common (padding); more tokens than rows would read past the table.
     */
    if (rc == 0 && tokens.len > m->n_vocab)
        return err_set(e, ERR_FORMAT, "the tokenizer has %zu tokens, the embedding table %zu rows",
                       tokens.len, m->n_vocab);
    if (m->arch->head_bias &&
        (rc = check_tensor(m, weights_tensor(w, "output.bias"), "output.bias", 0, m->n_vocab, e)))
        return rc;
    if (m->arch->embed_norm && ((rc = check_tensor(m, weights_tensor(w, "token_embd_norm.weight"),
                                                   "token_embd_norm.weight", 0, m->n_embd, e)) ||
                                (rc = check_tensor(m, weights_tensor(w, "token_embd_norm.bias"),
                                                   "token_embd_norm.bias", 0, m->n_embd, e))))
        return rc;
    if (m->arch->token_types && types &&
        (rc = check_tensor(m, types, "token_types.weight",
                           tensor_rows(types) ? tensor_rows(types) : 1, m->n_embd, e)))
        return rc;
    if ((m->arch->positions &&
         (rc = check_tensor(m, weights_tensor(w, "position_embd.weight"), "position_embd.weight",
                            m->n_ctx_train, m->n_embd, e))) ||
        (m->arch->final_norm_bias && (rc = check_tensor(m, weights_tensor(w, "output_norm.bias"),
                                                        "output_norm.bias", 0, m->n_embd, e))))
        return rc;
    if (m->arch->encoder)
        return 0;
    return check_tensor(m, weights_tensor(w, "output_norm.weight"), "output_norm.weight", 0,
                        m->n_embd, e);
}

/* Every tensor of every layer: there unless optional, and of its slot's shape. */
static int check_layers(const struct model *m, const struct weights *w, struct err *e)
{
    /* parts beside each other may share a norm */
    bool lone = !m->parallel && m->arch->parallel != ARCH_SEQUENTIAL;
    char name[SLOT_NAME_BYTES];

    for (size_t l = 0; l < m->n_layers; l++) {
        bool experts = experts_in_layer(m, w, l);
        int rc;

        for (int s = 0; s < SLOT_FIRST_EXPERTS; s++) {
            enum arch_slot slot = (enum arch_slot)s;
            const struct tensor *t = slot_tensor(m, w, l, slot);
            size_t rows, cols;

            if (!t && ((m->arch->layer[slot].presence != ARCH_REQUIRED &&
                        !(lone && slot == SLOT_FFN_NORM)) ||
                       !experts_slot_fits(slot, experts)))
                continue;
            slot_name(m, l, slot, name);
            if (!experts_slot_fits(slot, experts))
                return err_param(e, name, ERR_UNSUPPORTED,
                                 "tensor %s in a layer that has %s experts", name,
                                 experts ? "" : "no");
            slot_shape(m, slot, &rows, &cols);
            rc = check_tensor(m, t, name, rows, cols, e);
            if (rc == 0 && s < SLOT_FIRST_MATRIX)
                rc = check_plain(t, name, e);
            if (rc)
                return rc;
        }
        if (experts && (rc = experts_check(m, w, l, e)))
            return rc;
    }
    return 0;
}

/* Does the forward pass use this tensor, or is it known to change nothing? */
static bool tensor_known(const struct model *m, const char *name)
{
    static const char *const heads[] = { "output.weight", "output_norm.weight" };
    /* Frequencies that old converters wrote down; they follow from the metadata. */
    static const char *const harmless[] = { "attn_rot_embd", "attn_rot_embd.weight",
                                            "rope_freqs.weight" };
    char expected[SLOT_NAME_BYTES];
    size_t layer = 0;
    int used = 0;

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strcmp(name, heads[i]) == 0)
            return !m->arch->encoder;
    if (strcmp(name, "token_embd.weight") == 0)
        return true;
    if (strcmp(name, "token_embd_norm.weight") == 0 || strcmp(name, "token_embd_norm.bias") == 0)
        return m->arch->embed_norm;
    if (strcmp(name, "token_types.weight") == 0)
        return m->arch->token_types;
    if (strcmp(name, "position_embd.weight") == 0)
        return m->arch->positions;
    if (strcmp(name, "output_norm.bias") == 0)
        return m->arch->final_norm_bias;
    if (strcmp(name, "output.bias") == 0)
        return m->arch->head_bias;
    if (strcmp(name, "rope_freqs.weight") == 0 || strcmp(name, ROPE_SHORT) == 0 ||
        strcmp(name, ROPE_LONG) == 0)
        return m->arch->rope != ROPE_NONE;
    if (sscanf(name, "blk.%4zu.%n", &layer, &used) != 1 || used == 0 || layer >= m->n_layers)
        return false;
    for (int s = 0; s < N_SLOTS; s++)
        if (m->arch->layer[s].presence != ARCH_ABSENT &&
            strcmp(name, slot_name(m, layer, (enum arch_slot)s, expected)) == 0)
            return true;
    if (experts_name(m, name + used))
        return true;
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (strcmp(name + used, harmless[i]) == 0)
            return true;
    return false;
}

/* Of a layer, and not multiplied as matrices are: such as the scores of experts. */
static bool is_vector(const struct model *m, const char *name)
{
    size_t layer;
    int used = 0;

    if (sscanf(name, "blk.%4zu.%n", &layer, &used) != 1 || used == 0)
        return false;
    for (int s = 0; s < SLOT_FIRST_MATRIX; s++)
        if (m->arch->layer[s].name && strcmp(name + used, m->arch->layer[s].name) == 0)
            return true;
    return false;
}

/* Refuses what is not known, and sums up what is. */
static int survey(struct model *m, const struct weights *w, struct err *e)
{
    const struct tensor *head = weights_tensor(w, "output.weight");

    /* A float model keeps float keys and values: it may then be compared with float references. */
    m->kv_dtype = DTYPE_F32;
    m->n_params = m->bytes_per_token = 0;
    m->multiplies_floats = m->exact = m->huggingface;
    for (size_t i = 0; i < weights_n_tensors(w); i++) {
        const struct tensor *t = weights_tensor_at(w, i);

        if (!tensor_known(m, t->name))
            return err_param(
                e, t->name, ERR_UNSUPPORTED,
                "tensor %.64s means nothing to family %s; results would be wrong without it",
                t->name, m->arch->name);
        m->n_params += tensor_count(t);
        if (t->n_dims < 2)
            continue;
        if (quant_format(t->dtype)->code_bits && !m->exact)
            m->kv_dtype = DTYPE_F16;
        /* an untied embedding table gives a row per token, everything else is read whole */
        if ((head || m->headless) && strcmp(t->name, "token_embd.weight") == 0)
            continue;
        m->bytes_per_token += (uint64_t)((double)t->bytes * experts_share(m, t->name));
        if (!quant_format(t->dtype)->code_bits && !is_vector(m, t->name))
            m->multiplies_floats = true;
    }
    return 0;
}

/* general.file_type as llama.h numbers it (enum llama_ftype), else the type that most values have.
 */
static void name_quantisation(struct model *m, const struct weights *w)
{
    static const char *const types[] = {
        [0] = "F32",     [1] = "F16",   [2] = "Q4_0",    [3] = "Q4_1",    [7] = "Q8_0",
        [8] = "Q5_0",    [9] = "Q5_1",  [14] = "Q4_K_S", [15] = "Q4_K_M", [16] = "Q5_K_S",
        [17] = "Q5_K_M", [18] = "Q6_K", [32] = "BF16",
    };
    uint64_t type = UINT64_MAX;
    size_t best = 0;

    if (weights_u64(w, "general.file_type", &type, NULL) == 0 &&
        type < sizeof types / sizeof *types && types[type]) {
        snprintf(m->quantisation, sizeof m->quantisation, "%s", types[type]);
        return;
    }
    for (size_t i = 0; i < weights_n_tensors(w); i++)
        if (tensor_count(weights_tensor_at(w, i)) > tensor_count(weights_tensor_at(w, best)))
            best = i;
    snprintf(m->quantisation, sizeof m->quantisation, "%s",
             quant_format(weights_tensor_at(w, best)->dtype)->name);
}

int model_check(struct model *m, const struct weights *w, struct err *e)
{
    struct keys k = { w, NULL };
    struct str name = { "", 0 };
    int rc;

    memset(m, 0, sizeof *m);
    if ((rc = find_arch(m, w, e)))
        return rc;
    m->huggingface = m->arch->hf[0] && weights_has(w, HF_KEY);
    m->rope = m->huggingface ? m->arch->hf[0]->rope : m->arch->rope;
    k.prefix = m->arch->name;
    if ((rc = read_sizes(m, &k, e)) || (rc = experts_read(m, &k, e)) ||
        (rc = model_read_rope(m, &k, e)) || (rc = model_read_attention(m, &k, e)) ||
        (rc = read_multipliers(m, &k, e)) || (rc = read_block(m, &k, e)) ||
        (rc = refuse_others(m, &k, e)) || (rc = check_globals(m, &k, e)) ||
        (rc = check_layers(m, w, e)) || (rc = survey(m, w, e)))
        return rc;
    rc = weights_str(w, "general.name", &name, e);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (name.len >= sizeof m->name)
        name.len = sizeof m->name - 1;
    memcpy(m->name, name.data, name.len);
    name_quantisation(m, w);
    return 0;
}
