/* model: numbers of good files, and what is said of files with one thing wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/inference/refbackend.h"
#include "tests/inference/rig.h"

static void numbers(void **state)
{
    static const struct {
        const char *file, *arch, *quantisation;
        size_t n_layers, n_embd, n_head, n_kv, head_dim, n_ff, n_vocab, n_ctx, window, pattern;
        uint64_t n_params;
    } cases[] = {
        { "llama-Q8_0.gguf", "llama", "Q8_0", 3, 64, 4, 2, 16, 160, 704, 1024, 0, 0, 174528 },
        { "gemma3_text-Q8_0.gguf", "gemma3", "Q8_0", 6, 64, 4, 1, 16, 96, 704, 1024, 32, 6,
          218880 },
        { "llama_256-Q4_K.gguf", "llama", "Q4_K_S", 2, 256, 8, 2, 32, 256, 512, 1024, 0, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weights *w;
        struct model m;
        struct err e;

        assert_int_equal(weights_open(&w, rig_path(cases[i].file), &e), 0);
        if (model_check(&m, w, &e))
            fail_msg("%s: %s", cases[i].file, e.text);
        assert_string_equal(m.arch->name, cases[i].arch);
        assert_string_equal(m.quantisation, cases[i].quantisation);
        assert_int_equal(m.n_layers, cases[i].n_layers);
        assert_int_equal(m.n_embd, cases[i].n_embd);
        assert_int_equal(m.n_head, cases[i].n_head);
        assert_int_equal(m.n_kv, cases[i].n_kv);
        assert_int_equal(m.head_dim, cases[i].head_dim);
        assert_int_equal(m.n_ff, cases[i].n_ff);
        assert_int_equal(m.n_vocab, cases[i].n_vocab);
        assert_int_equal(m.n_ctx_train, cases[i].n_ctx);
        assert_int_equal(m.window, cases[i].window);
        assert_int_equal(m.window_pattern, cases[i].pattern);
        if (cases[i].n_params)
            assert_int_equal(m.n_params, cases[i].n_params);
        assert_int_equal(m.kv_dtype, DTYPE_F16);
        assert_true(m.bytes_per_token > 0 && m.bytes_per_token < weights_file_bytes(w));
        weights_close(w);
    }
}

/* The file's bytes with one edit, opened and checked. */
struct edit {
    const char *file;
    const char *find; /* first place of these bytes ... */
    size_t skip;      /* ... and this many bytes after its end ... */
    const char *text; /* ... becomes this, or ... */
    uint32_t number;  /* ... where text is NULL, this, or ... */
    float real;       /* ... where that is 0, this */
    int code;
    const char *says, *too; /* parts of the sentence */
};

static int check_edited(const struct edit *c, struct err *e)
{
    char path[] = "/tmp/airstrip-test-XXXXXX";
    FILE *in = fopen(rig_path(c->file), "rb");
    char *bytes = malloc(1 << 20), *at;
    size_t len;
    struct weights *w = NULL;
    struct model m;
    int rc, fd = mkstemp(path);

    assert_non_null(in);
    assert_non_null(bytes);
    assert_true(fd >= 0);
    len = fread(bytes, 1, 1 << 20, in);
    fclose(in);
    at = memmem(bytes, len, c->find, strlen(c->find));
    assert_non_null(at);
    at += strlen(c->find);
    if (c->text)
        memcpy(at + (c->skip ? (ptrdiff_t)c->skip : -(ptrdiff_t)strlen(c->text)), c->text,
               strlen(c->text));
    else if (c->number)
        memcpy(at + c->skip, &c->number, sizeof c->number);
    else
        memcpy(at + c->skip, &c->real, sizeof c->real);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
    rc = weights_open(&w, path, e);
    if (rc == 0)
        rc = model_check(&m, w, e);
    weights_close(w);
    unlink(path);
    free(bytes);
    return rc;
}

/* A key's value stands behind its u32 type; a string's bytes behind type and u64 length. */
#define U32(file, key, v, code, a, b)        \
    {                                        \
        file, key, 4, NULL, v, 0, code, a, b \
    }
#define F32(file, key, v, code, a, b)        \
    {                                        \
        file, key, 4, NULL, 0, v, code, a, b \
    }
#define TXT(file, text, v, code, a, b)     \
    {                                      \
        file, text, 0, v, 0, 0, code, a, b \
    }

#define LLAMA "llama-Q8_0.gguf"
#define GEMMA "gemma3_text-Q8_0.gguf"

static void one_thing_wrong(void **state)
{
    static const struct edit cases[] = {
        { LLAMA, "general.architecture", 12, "lxama", 0, 0, ERR_UNSUPPORTED, "lxama",
          "supported are: llama, " },
        U32(LLAMA, "llama.block_count", 0, ERR_FORMAT, "llama.block_count is 0", "1 to 1024"),
        U32(LLAMA, "llama.block_count", 4, ERR_FORMAT, "blk.3.attn_norm.weight is missing", ""),
        U32(LLAMA, "llama.block_count", 2, ERR_UNSUPPORTED, "blk.2.", "llama"),
        U32(LLAMA, "llama.block_count", UINT32_MAX, ERR_FORMAT, "4294967295", ""),
        U32(LLAMA, "llama.embedding_length", 96, ERR_FORMAT, "token_embd.weight", "96"),
        U32(LLAMA, "llama.embedding_length", 0, ERR_FORMAT, "embedding_length is 0", ""),
        U32(LLAMA, "llama.feed_forward_length", 96, ERR_FORMAT, "blk.0.ffn_gate.weight",
            "[160, 64]"),
        U32(LLAMA, "llama.attention.head_count", 0, ERR_FORMAT, "head_count is 0", ""),
        U32(LLAMA, "llama.attention.head_count_kv", 3, ERR_FORMAT, "4 attention heads",
            "3 key-value"),
        U32(LLAMA, "llama.attention.head_count_kv", 1, ERR_FORMAT, "blk.0.attn_k.weight",
            "[32, 64]"),
        U32(LLAMA, "llama.attention.key_length", 15, ERR_FORMAT, "15", "even"),
        U32(LLAMA, "llama.attention.key_length", 18, ERR_UNSUPPORTED, "16 values", "18"),
        U32(LLAMA, "llama.attention.value_length", 18, ERR_UNSUPPORTED, "18 values", "16"),
        U32(LLAMA, "llama.rope.dimension_count", 18, ERR_FORMAT, "dimension_count is 18",
            "2 to 16"),
        U32(LLAMA, "llama.rope.dimension_count", 7, ERR_FORMAT, "7 rotated", "even"),
        F32(LLAMA, "llama.attention.layer_norm_rms_epsilon", 0.0f, ERR_FORMAT, "epsilon is 0", ""),
        F32(LLAMA, "llama.attention.layer_norm_rms_epsilon", __builtin_nanf(""), ERR_FORMAT,
            "epsilon is", "nan"),
        F32(LLAMA, "llama.rope.freq_base", -1.0f, ERR_FORMAT, "freq_base is -1", ""),
        TXT(LLAMA, "llama.context_length", "llama.context_lengtX", ERR_FORMAT,
            "llama.context_length is missing", ""),
        TXT(LLAMA, "blk.1.attn_q.weight", "blk.1.attn_z.weight", ERR_FORMAT,
            "blk.1.attn_q.weight is missing", ""),
        TXT(LLAMA, "output_norm.weight", "output_norm.weighX", ERR_FORMAT,
            "output_norm.weight is missing", ""),
        TXT(GEMMA, "blk.5.post_ffw_norm.weight", "blk.5.post_ffw_norm.weighX", ERR_FORMAT,
            "blk.5.post_ffw_norm.weight is missing", ""),
        TXT(GEMMA, "gemma3.attention.sliding_window", "gemma3.attention.sliding_windox", ERR_FORMAT,
            "gemma3.attention.sliding_window is missing", ""),
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = { 0 };
        int rc = check_edited(&cases[i], &e);

        if (rc != cases[i].code || !strstr(e.text, cases[i].says) || !strstr(e.text, cases[i].too))
            fail_msg("case %zu (%s): code %d, \"%s\"", i, cases[i].find, rc, e.text);
    }
}

static void last_percent(void *arg, int percent)
{
    int *p = arg;

    assert_in_range(percent, *p + 1, 100);
    *p = percent;
}

/* Every allocation of the device fails once: ERR_NOMEM, and nothing is left behind. */
static void no_memory(void **state)
{
    struct rig r;
    struct err e;
    int rc = ERR_NOMEM;
    size_t n;

    (void)state;
    for (n = 0; rc; n++) {
        assert_true(n < 200);
        refbackend_allocs_left = n;
        rc = rig_open(&r, &refbackend, NULL, LLAMA, DTYPE_F32, &e);
        refbackend_allocs_left = SIZE_MAX;
        assert_true(rc == 0 || rc == ERR_NOMEM);
        rig_close(&r);
        assert_int_equal(refbackend_live, 0);
    }
    assert_true(n > 22 + 11); /* matrices and buffers */
}

static void progress_reaches_100(void **state)
{
    struct rig r;
    struct err e;
    struct model m;
    int percent = 0;

    (void)state;
    assert_int_equal(rig_open(&r, &refbackend, NULL, GEMMA, DTYPE_F32, &e), 0);
    assert_int_equal(model_open(&m, r.w, r.backend, r.device, last_percent, &percent, &e), 0);
    assert_int_equal(percent, 100);
    assert_ptr_equal(m.head, m.embed);
    for (size_t l = 0; l < m.n_layers; l++) {
        assert_int_equal(m.layers[l].window, l == 5 ? 0 : 32);
        assert_ptr_equal(m.layers[l].inv_freq, m.inv_freq[l == 5 ? 0 : 1]);
    }
    model_close(&m);
    model_close(&m); /* a zeroed one is fine */
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(one_thing_wrong),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(progress_reaches_100),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
