/* forward: logits of tiny models against the golden float32 reference; steps cut and mixed in any
 * way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/inference/refbackend.h"
#include "tests/brief.h"
#include "tests/inference/rig.h"

enum { MAX_IDS = 320, MAX_VOCAB = 704 };

static const char *const files[] = { "llama-Q8_0.gguf", "llama_256-Q4_K.gguf",
                                     "gemma3_text-Q8_0.gguf" };

static double number(const struct value *v)
{
    return v->kind == VALUE_INT ? (double)v->integer : v->number;
}

/* Prefill, compare the last position's best 20, then follow the greedy path until a near tie. */
static void check_prompt(struct rig *r, const struct value *p, const char *file)
{
    const struct value *top = value_get(p, "top"), *gaps = value_get(p, "greedy_gaps");
    int32_t ids[MAX_IDS], greedy[32];
    size_t n = rig_ids(value_get(p, "ids"), ids, MAX_IDS),
           n_greedy = rig_ids(value_get(p, "greedy_ids"), greedy, 32);
    struct kv_table t = { 0 };
    const float *logits;
    double sum = 0;

    assert_true(n > 20 && n_greedy == 32 && top->list.len == 20);
    assert_int_equal(kvcache_grow(&r->cache, &t, n + n_greedy, NULL), 0);
    rig_step(r, &t, ids, 0, n, false);
    logits = forward_logits(r->forward, 0);
    for (size_t i = 0; i < r->model.n_vocab; i++)
        sum += (double)logits[i];
    assert_true(fabs(sum - number(value_get(p, "sum"))) < 2e-3 * (double)r->model.n_vocab);
    for (size_t i = 0; i < 20; i++) {
        const struct value *pair = top->list.items[i];
        double want = number(pair->list.items[1]),
               got = (double)logits[pair->list.items[0]->integer];

        if (!(fabs(want - got) <= 2e-3))
            fail_msg("%s: logit %zu of the last position is %.6f, expected %.6f", file, i, got,
                     want);
    }
    for (size_t i = 0; i < n_greedy && number(gaps->list.items[i]) > 0.01; i++) {
        assert_int_equal(forward_argmax(r->forward, 0), greedy[i]);
        ids[n + i] = greedy[i];
        rig_step(r, &t, ids, n + i, 1, false);
    }
    kvcache_drop(&r->cache, &t);
}

static void golden_on_reference(void **state)
{
    struct arena a;
    struct rig r;
    struct err e;

    (void)state;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const struct value *expected = rig_expected(&a, files[i]),
                           *prompts = value_get(expected, "prompts");

        assert_non_null(prompts);
        if (rig_open(&r, &refbackend, NULL, files[i], DTYPE_F32, &e))
            fail_msg("%s: %s", files[i], e.text);
        assert_int_equal(prompts->list.len, 2);
        for (size_t p = 0; p < prompts->list.len; p++)
            check_prompt(&r, prompts->list.items[p], files[i]);
        assert_int_equal(r.cache.n_free, RIG_PAGES);
        rig_close(&r);
    }
    arena_done(&a);
}

/* Some ids that are not all alike. */
static void make_ids(int32_t *ids, size_t n, unsigned seed, size_t n_vocab)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = (int32_t)((seed >> 8) % n_vocab);
    }
}

/* Logits after n ids, evaluated chunk by chunk. */
static void in_chunks(struct rig *r, const int32_t *ids, size_t n, size_t chunk, float *out)
{
    struct kv_table t = { 0 };

    assert_int_equal(kvcache_grow(&r->cache, &t, n, NULL), 0);
    for (size_t pos = 0; pos < n; pos += chunk)
        rig_step(r, &t, ids, pos, n - pos < chunk ? n - pos : chunk, false);
    memcpy(out, forward_logits(r->forward, 0), r->model.n_vocab * sizeof *out);
    kvcache_drop(&r->cache, &t);
}

/* The same sequence as the middle one of three: the others are at other positions, some rows want
 * no logits. */
static void among_others(struct rig *r, const int32_t *ids, size_t n, float *out)
{
    struct kv_table t[3] = { 0 };
    int32_t mixed[RIG_MAX_ROWS], other[64];
    struct seq_span spans[3];
    size_t at = 0, rows[] = { 19, n, 1 }, pos[] = { 0, 0, 40 };

    make_ids(other, 64, 99, r->model.n_vocab);
    for (int s = 0; s < 3; s++)
        assert_int_equal(kvcache_grow(&r->cache, &t[s], pos[s] + rows[s], NULL), 0);
    rig_step(r, &t[2], other, 0, 40, false);
    for (int s = 0; s < 3; s++) {
        spans[s] = (struct seq_span){ .row = at, .n = rows[s], .pos = pos[s], .pages = t[s].pages };
        memcpy(mixed + at, s == 1 ? ids : other + pos[s], rows[s] * sizeof *mixed);
        at += rows[s];
    }
    forward_run(r->forward,
                &(struct step){ .prompt = r->prompt,
                                .ids = mixed,
                                .n_rows = at,
                                .spans = spans,
                                .n_spans = 3,
                                .out_rows = (const int32_t[]){ (int32_t)at - 1, 18 + (int32_t)n },
                                .n_outputs = 2 });
    memcpy(out, forward_logits(r->forward, 1), r->model.n_vocab * sizeof *out);
    for (int s = 0; s < 3; s++)
        kvcache_drop(&r->cache, &t[s]);
}

/* Steps without outputs fill the cache as well as others. */
static void in_the_dark(struct rig *r, const int32_t *ids, size_t n, float *out)
{
    struct kv_table t = { 0 };
    struct seq_span span;

    assert_int_equal(kvcache_grow(&r->cache, &t, n, NULL), 0);
    span = (struct seq_span){ .row = 0, .n = n - 1, .pos = 0, .pages = t.pages };
    forward_run(r->forward, &(struct step){ .prompt = r->prompt,
                                            .ids = ids,
                                            .n_rows = n - 1,
                                            .spans = &span,
                                            .n_spans = 1 });
    rig_step(r, &t, ids, n - 1, 1, false);
    memcpy(out, forward_logits(r->forward, 0), r->model.n_vocab * sizeof *out);
    kvcache_drop(&r->cache, &t);
}

/* A few stages at a time, with a step of another sequence in another forward after each slice. */
static void in_slices(struct rig *r, const int32_t *ids, size_t n, size_t n_stages, size_t per,
                      float *out)
{
    struct kv_table t = { 0 }, t2 = { 0 };
    const int32_t last = (int32_t)n - 1;
    struct forward *mine = r->forward, *others;
    size_t left, pos = 0;
    struct seq_span span;
    int32_t ids2[64];

    make_ids(ids2, 64, 31, r->model.n_vocab);
    assert_int_equal(forward_open(&others, &r->model, &r->cache, 1, 1, NULL), 0);
    assert_int_equal(kvcache_grow(&r->cache, &t, n, NULL), 0);
    assert_int_equal(kvcache_grow(&r->cache, &t2, 64, NULL), 0);
    span = (struct seq_span){ .n = n, .pages = t.pages };
    forward_begin(mine, &(struct step){ .prompt = r->prompt,
                                        .attend_rows = per,
                                        .ids = ids,
                                        .n_rows = n,
                                        .spans = &span,
                                        .n_spans = 1,
                                        .out_rows = &last,
                                        .n_outputs = 1 });
    left = forward_stages(mine);
    while (left) {
        size_t before = left;

        left = forward_advance(mine, n_stages);
        assert_int_equal(before - left, before < n_stages ? before : n_stages);
        r->forward = others;
        rig_step(r, &t2, ids2, pos++, 1, false);
        r->forward = mine;
    }
    memcpy(out, forward_logits(mine, 0), r->model.n_vocab * sizeof *out);
    forward_close(others);
    kvcache_drop(&r->cache, &t);
    kvcache_drop(&r->cache, &t2);
}

/* Rows of a quantised model do not see each other: bit for bit the same, however steps are cut. */
static void cuts_do_not_matter(const struct backend *b, const char *isa, bool prompt)
{
    static const size_t chunks[] = { 1, 7, 16, 31 };
    float whole[MAX_VOCAB], other[MAX_VOCAB];
    int32_t ids[83];
    struct rig r;
    struct err e;

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (rig_open(&r, b, isa, files[i], DTYPE_F16, &e))
            fail_msg("%s: %s", files[i], e.text);
        size_t bytes = r.model.n_vocab * sizeof *whole;

        r.prompt = prompt;
        make_ids(ids, 83, 7, r.model.n_vocab);
        in_chunks(&r, ids, 83, 83, whole);
        for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
            in_chunks(&r, ids, 83, chunks[c], other);
            assert_memory_equal(whole, other, bytes);
        }
        among_others(&r, ids, 83, other);
        assert_memory_equal(whole, other, bytes);
        in_the_dark(&r, ids, 83, other);
        assert_memory_equal(whole, other, bytes);
        for (size_t n = 1; n < 4; n++) {
            in_slices(&r, ids, 83, n, n == 2 ? 0 : 16 * n, other);
            assert_memory_equal(whole, other, bytes);
        }
        rig_close(&r);
    }
}

static void cuts_on_reference(void **state)
{
    (void)state;
    cuts_do_not_matter(&refbackend, NULL, true);
}

/* All rows wanted in order, and some out of order, name the same logits. */
static void outputs_in_any_order(void **state)
{
    static const int32_t order[] = { 9, 0, 4 };
    float all[10 * MAX_VOCAB];
    int32_t ids[10];
    struct kv_table t = { 0 };
    struct rig r;
    struct err e;

    (void)state;
    assert_int_equal(rig_open(&r, &refbackend, NULL, files[0], DTYPE_F32, &e), 0);
    make_ids(ids, 10, 3, r.model.n_vocab);
    assert_int_equal(kvcache_grow(&r.cache, &t, 10, &e), 0);
    rig_step(&r, &t, ids, 0, 10, true);
    memcpy(all, forward_logits(r.forward, 0), 10 * r.model.n_vocab * sizeof *all);
    forward_run(r.forward, &(struct step){ .ids = ids,
                                           .n_rows = 10,
                                           .spans = &(struct seq_span){ .n = 10, .pages = t.pages },
                                           .n_spans = 1,
                                           .out_rows = order,
                                           .n_outputs = 3 });
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(forward_logits(r.forward, i), all + (size_t)order[i] * r.model.n_vocab,
                            r.model.n_vocab * sizeof *all);
    kvcache_drop(&r.cache, &t);
    rig_close(&r);
}

static void limits(void **state)
{
    struct forward *f;
    struct rig r;
    struct err e;

    (void)state;
    assert_int_equal(rig_open(&r, &refbackend, NULL, files[0], DTYPE_F32, &e), 0);
    assert_int_equal(forward_open(&f, &r.model, &r.cache, 0, 1, &e), ERR_INVALID);
    assert_int_equal(forward_open(&f, &r.model, &r.cache, 4, 0, &e), ERR_INVALID);
    assert_int_equal(forward_open(&f, &r.model, &r.cache, 4, 5, &e), ERR_INVALID);
    assert_null(f);
    forward_close(NULL);
    rig_close(&r);
}

/* --- the CPU backend, one instruction set after the other --- */
static const char *const isas[] = { "scalar", "neon", "avx2", "avxvnni", "avx512", "avx512bf16", "amx" };

/* False where this build or machine does not have it. */
static bool has_isa(const char *isa)
{
    const struct backend *b = backend_find("cpu", NULL);
    struct device *d = NULL;
    int rc;

    assert_non_null(b);
    rc = b->open(&d, &(struct backend_options){ .n_threads = 1, .isa = isa }, NULL);
    if (rc == 0)
        b->close(d);
    assert_true(rc == 0 || rc == ERR_UNSUPPORTED);
    return rc == 0;
}

/* Log-probabilities of all n positions, [n, n_vocab]. */
static void log_probabilities(struct rig *r, const int32_t *ids, size_t n, double *out)
{
    struct kv_table t = { 0 };
    size_t n_vocab = r->model.n_vocab;

    assert_int_equal(kvcache_grow(&r->cache, &t, n, NULL), 0);
    for (size_t pos = 0; pos < n; pos += RIG_MAX_OUTPUTS) {
        size_t rows = n - pos < RIG_MAX_OUTPUTS ? n - pos : RIG_MAX_OUTPUTS;

        rig_step(r, &t, ids, pos, rows, true);
        for (size_t i = 0; i < rows; i++) {
            const float *x = forward_logits(r->forward, i);
            double *p = out + (pos + i) * n_vocab, sum = 0, max = -INFINITY;

            for (size_t v = 0; v < n_vocab; v++)
                max = fmax(max, (double)x[v]);
            for (size_t v = 0; v < n_vocab; v++)
                sum += exp((double)x[v] - max);
            for (size_t v = 0; v < n_vocab; v++)
                p[v] = (double)x[v] - max - log(sum);
        }
    }
    kvcache_drop(&r->cache, &t);
}

/* Mean KL divergence of the CPU's distributions from the reference backend's, over both prompts. */
static double divergence(const struct backend *b, const char *isa, const char *file,
                         const struct value *prompts)
{
    double *want = malloc(MAX_IDS * MAX_VOCAB * sizeof *want),
           *got = malloc(MAX_IDS * MAX_VOCAB * sizeof *got);
    double sum = 0;
    size_t positions = 0;
    struct rig ref, cpu;
    struct err e;

    assert_non_null(want);
    assert_non_null(got);
    if (rig_open(&ref, &refbackend, NULL, file, DTYPE_F32, &e) ||
        rig_open(&cpu, b, isa, file, DTYPE_F16, &e))
        fail_msg("%s: %s", file, e.text);
    for (size_t p = 0; p < prompts->list.len; p++) {
        int32_t ids[MAX_IDS];
        size_t n = rig_ids(value_get(prompts->list.items[p], "ids"), ids, MAX_IDS);

        log_probabilities(&ref, ids, n, want);
        log_probabilities(&cpu, ids, n, got);
        for (size_t i = 0; i < n * ref.model.n_vocab; i++)
            sum += exp(want[i]) * (want[i] - got[i]);
        positions += n;
    }
    rig_close(&ref);
    rig_close(&cpu);
    free(want);
    free(got);
    return sum / (double)positions;
}

/* int8 activations cost accuracy: as much as llama.cpp's do, times three (golden/README.md). */
static void golden_on_cpu(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 0);
    for (size_t k = 0; k < sizeof isas / sizeof *isas; k++)
        for (size_t i = 0; has_isa(isas[k]) && i < sizeof files / sizeof *files; i++) {
            const struct value *expected = rig_expected(&a, files[i]);
            double limit, kl;

            assert_non_null(expected);
            limit = 3 * number(value_get(expected, "kl_llamacpp"));
            kl = divergence(backend_find("cpu", NULL), isas[k], files[i],
                            value_get(expected, "prompts"));
            print_message("# %s %s: KL %.5f, limit %.5f\n", files[i], isas[k], kl, limit);
            if (!(kl <= limit))
                fail_msg("%s on %s: KL %.5f, limit %.5f", files[i], isas[k], kl, limit);
        }
    arena_done(&a);
}

static void cuts_on(const char *isa)
{
    if (!has_isa(isa)) {
        print_message("# this build or machine has no %s\n", isa);
        skip();
    }
    cuts_do_not_matter(backend_find("cpu", NULL), isa, true);
    cuts_do_not_matter(backend_find("cpu", NULL), isa, false);
}

static void cuts_on_scalar(void **state)
{
    (void)state;
    cuts_on("scalar");
}

static void cuts_on_avx2(void **state)
{
    (void)state;
    cuts_on("avx2");
}

static void cuts_on_avxvnni(void **state)
{
    (void)state;
    cuts_on("avxvnni");
}

static void cuts_on_neon(void **state)
{
    (void)state;
    cuts_on("neon");
}

static void cuts_on_avx512(void **state)
{
    (void)state;
    cuts_on("avx512");
}

static void cuts_on_avx512bf16(void **state)
{
    (void)state;
    cuts_on("avx512bf16");
}

static void cuts_on_amx(void **state)
{
    (void)state;
    cuts_on("amx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_on_reference),  cmocka_unit_test(cuts_on_reference),
        cmocka_unit_test(outputs_in_any_order), cmocka_unit_test(limits),
        cmocka_unit_test(golden_on_cpu),        cmocka_unit_test(cuts_on_scalar),
        cmocka_unit_test(cuts_on_avx2),         cmocka_unit_test(cuts_on_avx512),
        cmocka_unit_test(cuts_on_amx),          cmocka_unit_test(cuts_on_avxvnni),
        cmocka_unit_test(cuts_on_neon),         cmocka_unit_test(cuts_on_avx512bf16),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    brief_begin(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
