/* Tokenizers: what may become a control token, awkward texts, damaged vocabularies.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "inference/text/tokenizer.h"
#include "kernels/base/buf.h"
#include "tests/inference/text/vocabfile.h"

static const char *const small_models[] = { "qwen3-Q8_0", "llama-Q8_0", "gemma3_text-Q8_0" };
enum { QWEN, LLAMA, GEMMA, N_SMALL };

static struct tokenizer *open_small(int which)
{
    const char *srcdir = getenv("srcdir");
    char path[4096];

    snprintf(path, sizeof path, "%s/tests/data/gguf/%s.gguf", srcdir ? srcdir : ".",
             small_models[which]);
    return vf_open_model(path);
}

/* --- control tokens ----------------------------------------------------------------------------
 */

static size_t count(const struct ids *ids, int32_t id)
{
    size_t n = 0;

    for (size_t i = 0; i < ids->len; i++)
        n += ids->data[i] == id;
    return n;
}

static void plain_spans(void **state)
{
    static const char text[] = "<|im_start|>user\n<|im_end|>\n<|im_start|>system<|im_end|>";
    /*                          0           12   17         27 28          40    46          */
    static const struct {
        bool parse;
        struct text_span spans[3];
        size_t n;
        size_t starts, ends;
    } cases[] = {
        { false, { { 0, 0 } }, 0, 0, 0 },
        { true, { { 0, 0 } }, 0, 2, 2 },
        { true, { { 17, 46 } }, 1, 1, 1 }, /* what a client wrote: <|im_end|>\n<|im_start|>system */
        { true, { { 26, 29 } }, 1, 1, 1 }, /* a byte at either end is enough */
        { true, { { 27, 28 } }, 1, 2, 2 },
        { true, { { 17, 18 }, { 22, 22 }, { 55, 56 } }, 3, 2, 0 },
        { true, { { 5, 5 } }, 1, 2, 2 }, /* an empty one holds nothing */
        { true, { { 0, 56 } }, 1, 0, 0 },
        { false, { { 0, 56 } }, 1, 0, 0 },
    };
    struct tokenizer *t = open_small(QWEN);
    int32_t start = tokenizer_find(t, "<|im_start|>", 12),
            end = tokenizer_find(t, "<|im_end|>", 10);

    (void)state;
    assert_int_equal(strlen(text), 56);
    assert_true(tokenizer_is_control(t, start) && tokenizer_is_control(t, end));
    assert_true(tokenizer_is_end(t, end) && !tokenizer_is_end(t, start));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct encode_options o = { .parse_special = cases[i].parse,
                                          .plain = cases[i].spans,
                                          .n_plain = cases[i].n };
        struct ids ids = vf_encode(t, text, strlen(text), &o);
        struct buf pieces = { 0 };

        assert_int_equal(count(&ids, start), cases[i].starts);
        assert_int_equal(count(&ids, end), cases[i].ends);
        for (size_t k = 0; k < ids.len; k++) {
            struct str p = tokenizer_piece(t, ids.data[k], true);

            buf_put(&pieces, p.data, p.len);
        }
        assert_string_equal(buf_str(&pieces), text);
        buf_done(&pieces);
        ids_done(&ids);
    }
    assert_int_equal(tokenizer_piece(t, end, false).len, 0);
    assert_int_equal(tokenizer_piece(t, -1, true).len, 0);
    assert_int_equal(tokenizer_piece(t, (int32_t)tokenizer_n_vocab(t), true).len, 0);
    tokenizer_close(t);
}

/* A vocabulary of letters with one of everything. */
static struct tokenizer *open_letters(void)
{
    static const char *const texts[] = { "<unk>",        "a",     "b",  "c",    "ab",
                                         "abc",          "x",     "ax", "user", "use",
                                         "\xe2\x96\x81", "<|e|>", "ux" };
    static const int32_t types[] = { 2, 1, 1, 1, 1, 3, 1, 5, 4, 4, 1, 3, 4 };
    static const float scores[] = { 0, -1, -2, -3, -1, 0, -5, -1, 0, 0, -4, 0, 0 };
    struct str tokens[13];
    struct vocabfile f = { 0 };
    struct tokenizer *t;
    struct err e;

    for (size_t i = 0; i < 13; i++)
        tokens[i] = (struct str){ texts[i], strlen(texts[i]) };
    vf_str(&f, "tokenizer.ggml.model", "llama");
    vf_strs(&f, "tokenizer.ggml.tokens", tokens, 13);
    vf_i32s(&f, "tokenizer.ggml.token_type", types, 13);
    vf_f32s(&f, "tokenizer.ggml.scores", scores, 13);
    vf_bool(&f, "tokenizer.ggml.add_space_prefix", false);
    vf_u32(&f, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    vf_u32(&f, "tokenizer.ggml.eot_token_id", 11);
    if (vf_open(&f, &t, &e))
        fail_msg("%s", e.text);
    return t;
}

/* A Unigram model of letters.  U+2581 is spelled _ here. */
static int open_unigram(struct tokenizer **out, bool merge_blanks, const uint8_t *map, size_t n_map,
                        struct err *e)
{
    static const char *const texts[] = { "<pad>", "</s>", "<unk>", "_", "a", "b",  "ab",
                                         "_a",    "ba",   "_ab",   "u", "c", "abc" };
    static const int32_t types[] = { 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 4, 1, 3 };
    static const float scores[] = { 0, 0, 0, -2, -3, -3, -4, -4, -1, -5, -9, -3, 9 };
    char spelled[13][16];
    struct str tokens[13];
    int32_t bytes[64];
    struct vocabfile f = { 0 };

    for (size_t i = 0; i < 13; i++) {
        const char *t = texts[i];
        size_t blank = *t == '_' ? (size_t)snprintf(spelled[i], 16, "\xe2\x96\x81") : 0;

        tokens[i].len =
            blank + (size_t)snprintf(spelled[i] + blank, 16 - blank, "%s", t + (blank > 0));
        tokens[i].data = spelled[i];
    }
    vf_str(&f, "tokenizer.ggml.model", "t5");
    vf_strs(&f, "tokenizer.ggml.tokens", tokens, 13);
    vf_i32s(&f, "tokenizer.ggml.token_type", types, 13);
    vf_f32s(&f, "tokenizer.ggml.scores", scores, 13);
    vf_bool(&f, "tokenizer.ggml.add_space_prefix", true);
    vf_bool(&f, "tokenizer.ggml.remove_extra_whitespaces", merge_blanks);
    for (size_t i = 0; i < n_map; i++)
        bytes[i] = map[i];
    if (n_map)
        vf_i32s(&f, "tokenizer.ggml.precompiled_charsmap", bytes, n_map);
    return vf_open(&f, out, e);
}

static void unigram(void **state)
{
    static const struct {
        const char *text;
        bool merge_blanks;
        int32_t ids[8];
        size_t n;
    } cases[] = {
        { "ab", true, { 9 }, 1 },
        { "aba", true, { 7, 8 }, 2 }, /* -4 -1, not -5 -3 */
        { " a   b ", true, { 7, 3, 5 }, 3 },
        { " a", false, { 3, 7 }, 2 }, /* blanks count, and one goes before the text */
        { "a ", false, { 7, 3 }, 2 },
        { "  ", true, { 0 }, 0 },
        { "  ", false, { 3, 3 }, 2 },
        { "xya", true, { 3, 2, 4 }, 3 }, /* unknown ones in a row are one */
        { "x\xff\xc3", true, { 3, 2 }, 2 },
        { "abc", true, { 9, 11 }, 2 }, /* no control token comes out of text, however good */
        { "au", true, { 7, 10 }, 2 },
        { "", true, { 0 }, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct encode_options o = { .add_special = true };
        struct tokenizer *t;
        struct ids ids;
        struct err e;

        if (open_unigram(&t, cases[i].merge_blanks, NULL, 0, &e))
            fail_msg("%s", e.text);
        ids = vf_encode(t, cases[i].text, strlen(cases[i].text), &o);
        if (ids.len != cases[i].n + 1 || ids.data[ids.len - 1] != 1 ||
            memcmp(ids.data, cases[i].ids, cases[i].n * sizeof *ids.data) != 0)
            fail_msg("case %zu: %zu ids, first %d", i, ids.len, ids.len ? ids.data[0] : -1);
        ids_done(&ids);
        tokenizer_close(t);
    }
}

/* Tables of SentencePiece's normalisation that are damaged: refused, or of no effect. */
static void charsmaps(void **state)
{
    /* units: the root's children are at 1 ^ byte; nothing else; then one text */
    uint8_t good[] = { 8, 0, 0, 0, 0, 4, 0, 0, 'x', 0xff, 0xff, 0x7f, 'q', 0 };
    struct tokenizer *t;
    struct err e;

    (void)state;
    for (size_t n = 1; n < sizeof good; n++) {
        int rc = open_unigram(&t, true, good, n, &e);

        assert_int_equal(rc, ERR_FORMAT);
        tokenizer_close(t);
    }
    srand(12);
    for (int round = 0; round < 2000; round++) {
        const struct encode_options o = { .max_ids = 0 };
        uint8_t map[64];
        struct ids ids;

        for (size_t i = 4; i < sizeof map; i++)
            map[i] = (uint8_t)(rand() % 4 ? rand() % 4 : rand());
        memcpy(map, (uint8_t[]){ 48, 0, 0, 0 }, 4);
        map[sizeof map - 1] = 0;
        if (open_unigram(&t, true, map, sizeof map, &e))
            fail_msg("%s", e.text);
        ids = vf_encode(t, "\1\2\3ab\1\1\2", 8, &o);
        ids_done(&ids);
        tokenizer_close(t);
    }
}

static void letters(void **state)
{
    static const struct {
        const char *text;
        bool parse;
        int32_t ids[8];
        size_t n;
    } cases[] = {
        { "abc", false, { 4, 3 }, 2 },   /* a control token does not come out of merging, */
        { "abc", true, { 5 }, 1 },       /* only where it is looked for */
        { "ax", false, { 7 }, 1 },       /* unused ones do, as in the reference */
        { "users", false, { 8, 0 }, 2 }, /* user-defined: always, the longest */
        { "usex", false, { 9, 6 }, 2 },
        { "useux", false, { 9, 12 }, 2 },
        { "a b", false, { 1, 10, 2 }, 3 },
        { "a\xe2\x96\x81\x62", false, { 1, 10, 2 }, 3 },
        { "\xc3\xa9", false, { 0, 0 }, 2 }, /* no bytes in the vocabulary: unknown */
        { "<unk>", true, { 0 }, 1 },
        { "<|e|>a", true, { 11, 1 }, 2 },
        { "", true, { 0 }, 0 },
    };
    struct tokenizer *t = open_letters();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct encode_options o = { .parse_special = cases[i].parse, .add_special = true };
        struct ids ids = vf_encode(t, cases[i].text, strlen(cases[i].text), &o);

        assert_int_equal(ids.len, cases[i].n);
        for (size_t k = 0; k < ids.len; k++)
            assert_int_equal(ids.data[k], cases[i].ids[k]);
        ids_done(&ids);
    }
    assert_true(tokenizer_is_end(t, 11) && tokenizer_is_end(t, 2) && !tokenizer_is_end(t, 3));
    assert_int_equal(tokenizer_bos(t), -1);
    assert_false(tokenizer_adds_bos(t));
    assert_int_equal(tokenizer_find(t, "abd", 3), -1);
    tokenizer_close(t);
}

/* --- awkward texts -----------------------------------------------------------------------------
 */

static void limits(void **state)
{
    (void)state;
    for (int m = 0; m < N_SMALL; m++) {
        struct tokenizer *t = open_small(m);
        const char text[] = "The quick brown fox";
        struct encode_options o = { .add_special = true };
        struct ids all = vf_encode(t, text, strlen(text), &o), some = { 0 };
        struct err e;

        assert_int_equal(ids_push(&some, 7, &e), 0);
        for (o.max_ids = 1; o.max_ids < all.len; o.max_ids++) {
            assert_int_equal(tokenizer_encode(t, text, strlen(text), &o, &some, &e), ERR_LIMIT);
            assert_int_equal(some.len, 1);
        }
        assert_int_equal(tokenizer_encode(t, text, strlen(text), &o, &some, &e), 0);
        assert_int_equal(some.len, 1 + all.len);
        assert_memory_equal(some.data + 1, all.data, all.len * sizeof *all.data);
        ids_done(&all);
        ids_done(&some);
        tokenizer_close(t);
    }
}

/* A megabyte of one thing: quadratic time would be hours. */
static void long_runs(void **state)
{
    static const char *const units[] = {
        "a",    " ",   "\n",           "'",        "<",          "7",  "A",
        "\xff", " \n", "\xe4\xb8\xad", "\xcc\x81", "<|im_start", "a1", "\xe2\x96"
    };
    const struct encode_options o = { .parse_special = true };
    const size_t size = 1000000;
    char *text = malloc(size);

    (void)state;
    assert_non_null(text);
    for (int m = 0; m < N_SMALL; m++) {
        struct tokenizer *t = open_small(m);

        for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
            clock_t before = clock();
            struct ids ids;

            for (size_t i = 0; i < size; i++)
                text[i] = units[u][i % strlen(units[u])];
            ids = vf_encode(t, text, size, &o);
            assert_true(ids.len > 0);
            assert_true(clock() - before < 10 * CLOCKS_PER_SEC); /* with sanitizers */
            ids_done(&ids);
        }
        tokenizer_close(t);
    }
    free(text);
}

static void random_bytes(void **state)
{
    const struct encode_options o = { 0 };

    (void)state;
    srand(3);
    for (int m = 0; m < N_SMALL; m++) {
        struct tokenizer *t = open_small(m);

        for (int round = 0; round < 3000; round++) {
            char text[64];
            size_t len = (size_t)rand() % sizeof text;
            struct ids ids;

            for (size_t i = 0; i < len; i++)
                text[i] = (char)(rand() % 3 ? rand() : "\xe2\x82\xac ab\n'"[rand() % 8]);
            if (m != QWEN && memmem(text, len, "\xe2\x96\x81", 3))
                continue;
            ids = vf_encode(t, text, len, &o);
            vf_same_text(t, text, len, &ids);
            ids_done(&ids);
        }
        tokenizer_close(t);
    }
}

/* --- what a tokenizer keeps from one call to the next ------------------------------------------
 */

struct shared {
    struct tokenizer *t;
    char text[20000];
    struct ids expected;
    int wrong; /* threads that found other ids */
};

static void *encode_often(void *arg)
{
    static const struct encode_options o = { .max_ids = 0 };
    struct shared *s = arg;

    for (int round = 0; round < 20; round++) {
        struct ids ids = { 0 };
        struct err e;

        if (tokenizer_encode(s->t, s->text, sizeof s->text, &o, &ids, &e) ||
            ids.len != s->expected.len ||
            memcmp(ids.data, s->expected.data, ids.len * sizeof *ids.data) != 0)
            __atomic_fetch_add(&s->wrong, 1, __ATOMIC_RELAXED);
        ids_done(&ids);
    }
    return NULL;
}

/* Words that others met before, on this thread or another, become the same ids. */
static void many_threads(void **state)
{
    enum { THREADS = 12 }; /* more than there are encoders kept */
    const struct encode_options o = { .max_ids = 0 };
    pthread_t threads[THREADS];

    (void)state;
    srand(11);
    for (int m = 0; m < N_SMALL; m++) {
        struct shared s = { .t = open_small(m) };
        struct tokenizer *fresh = open_small(m);

        for (size_t i = 0; i < sizeof s.text; i++)
            s.text[i] = "etaoinsh \n"[rand() % 10];
        /* each line by a tokenizer that has seen nothing but the lines before */
        for (size_t i = 0; i < sizeof s.text; i += 100) {
            struct ids ids = vf_encode(fresh, s.text + i, 100, &o);
            struct ids again = vf_encode(fresh, s.text + i, 100, &o);

            assert_int_equal(ids.len, again.len);
            assert_memory_equal(ids.data, again.data, ids.len * sizeof *ids.data);
            ids_done(&ids);
            ids_done(&again);
        }
        s.expected = vf_encode(s.t, s.text, sizeof s.text, &o);
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, encode_often, &s), 0);
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(s.wrong, 0);
        ids_done(&s.expected);
        tokenizer_close(s.t);
        tokenizer_close(fresh);
    }
}

/* --- damaged vocabularies ----------------------------------------------------------------------
 */

struct damage {
    const char *model, *pre;
    size_t n_tokens, n_types, n_scores;
    int32_t type;
    uint32_t eos;
    const char *merge;
    int code;
    const char *says;
};

static void damaged(void **state)
{
    static const struct damage cases[] = {
        { "gpt2", "gpt-2", 3, 3, 0, 1, 2, "a b", 0, "" },
        { "gpt2", "nonesuch", 3, 3, 0, 1, 2, "a b", ERR_UNSUPPORTED, "nonesuch" },
        { "gpt2", "gpt-2 phi-2", 3, 3, 0, 1, 2, "a b", ERR_UNSUPPORTED, "gpt-2 phi-2" },
        { "gpt2", "", 3, 3, 0, 1, 2, "a b", ERR_UNSUPPORTED, "pre" },
        { "rwkv", "gpt-2", 3, 3, 0, 1, 2, "a b", ERR_UNSUPPORTED, "rwkv" },
        { NULL, "gpt-2", 3, 3, 0, 1, 2, "a b", ERR_FORMAT, "model" },
        { "gpt2", "gpt-2", 0, 0, 0, 1, 2, "a b", ERR_FORMAT, "tokens" },
        { "gpt2", "gpt-2", 3, 2, 0, 1, 2, "a b", ERR_FORMAT, "2 elements for 3 tokens" },
        { "gpt2", "gpt-2", 3, 3, 0, 7, 2, "a b", ERR_FORMAT, "type 7" },
        { "gpt2", "gpt-2", 3, 3, 0, -1, 2, "a b", ERR_FORMAT, "type -1" },
        { "gpt2", "gpt-2", 3, 3, 0, 6, 2, "a b", ERR_FORMAT, "<0xXX>" },
        { "gpt2", "gpt-2", 3, 3, 0, 1, 3, "a b", ERR_FORMAT, "eos_token_id is 3" },
        { "gpt2", "gpt-2", 3, 3, 0, 1, 2, "a c", ERR_FORMAT, "a c" },
        { "gpt2", "gpt-2", 3, 3, 0, 1, 2, "b a", ERR_FORMAT, "b a" },
        { "gpt2", "gpt-2", 3, 3, 0, 1, 2, "ab", ERR_FORMAT, "merges" },
        { "gpt2", "gpt-2", 3, 3, 0, 1, 2, NULL, ERR_FORMAT, "merges" },
        { "llama", NULL, 3, 3, 2, 1, 2, NULL, ERR_FORMAT, "scores has 2" },
        { "llama", NULL, 3, 3, 3, 1, 2, NULL, 0, "" },
    };
    static const struct str tokens[] = { { "a", 1 }, { "b", 1 }, { "ab", 2 } };
    static const float scores[3] = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct damage *c = &cases[i];
        const int32_t types[] = { 1, 1, c->type };
        struct vocabfile f = { 0 };
        struct tokenizer *t;
        struct err e = { .code = 0 };

        if (c->model)
            vf_str(&f, "tokenizer.ggml.model", c->model);
        if (c->pre)
            vf_str(&f, "tokenizer.ggml.pre", c->pre);
        vf_strs(&f, "tokenizer.ggml.tokens", tokens, c->n_tokens);
        vf_i32s(&f, "tokenizer.ggml.token_type", types, c->n_types);
        if (c->n_scores)
            vf_f32s(&f, "tokenizer.ggml.scores", scores, c->n_scores);
        vf_u32(&f, "tokenizer.ggml.eos_token_id", c->eos);
        if (c->merge)
            vf_strs(&f, "tokenizer.ggml.merges", &(struct str){ c->merge, strlen(c->merge) }, 1);
        assert_int_equal(vf_open(&f, &t, &e), c->code);
        if (!strstr(e.text, c->says))
            fail_msg("case %zu: '%s' should be in '%s'", i, c->says, e.text);
        tokenizer_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_spans),  cmocka_unit_test(letters), cmocka_unit_test(unigram),
        cmocka_unit_test(charsmaps),    cmocka_unit_test(limits),  cmocka_unit_test(long_runs),
        cmocka_unit_test(random_bytes), cmocka_unit_test(damaged), cmocka_unit_test(many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
