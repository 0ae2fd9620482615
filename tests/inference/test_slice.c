/* slice: ranks have all of a model between them, each query its kv head, and the parts of a tensor
 * are what the whole decodes to; messages of ranks come out as they went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/ranks_message.h"
#include "inference/slice.h"
#include "kernels/quant/quant.h"
#include "tests/inference/rig.h"

enum { MOST_RANKS = 16 };

/* --- where a model is cut --- */

/* Numbers of published models, and some that are hardly worth cutting. */
static const struct shape {
    size_t n_head, n_kv, head_dim, n_ff;
} SHAPES[] = {
    { 9, 3, 64, 1536 },    /* SmolLM2 135M */
    { 4, 1, 256, 2048 },   /* Gemma 3 270M */
    { 32, 8, 128, 14336 }, /* Llama 3 8B */
    { 28, 4, 128, 18944 }, /* Qwen2 7B */
    { 71, 1, 64, 18176 },  /* Falcon 7B */
    { 64, 8, 64, 2880 },   /* gpt-oss 20B */
    { 12, 12, 64, 3072 },  /* GPT-2 */
    { 40, 10, 128, 17920 }, { 10, 5, 80, 96 }, { 1, 1, 32, 32 },
};

static struct model model_of(const struct rig *r, const struct shape *s)
{
    struct model m = r->model;

    m.n_head = s->n_head;
    m.n_kv = s->n_kv;
    m.head_dim = s->head_dim;
    m.n_ff = s->n_ff;
    return m;
}

/* Parts of ranks lie side by side from 0 to total; block: of what is quantised. */
static void assert_follows(const struct slice_part *p, size_t *at, size_t block)
{
    assert_true(p->n > 0);
    if (p->zeros) {
        assert_int_equal(p->n % block, 0);
        return;
    }
    assert_int_equal(p->from, *at);
    assert_int_equal(p->from % block, 0);
    *at += p->n;
}

static void assert_kv(const struct rank_slice *s, const struct shape *shape)
{
    size_t group;

    assert_true(s->n_kv > 0 && s->heads.n % s->n_kv == 0);
    assert_true(s->n_kv <= s->most_kv);
    group = s->heads.n / s->n_kv;
    for (size_t h = 0; h < s->heads.n && !s->heads.zeros; h++)
        assert_int_equal(s->kv[h / group], (s->heads.from + h) / (shape->n_head / shape->n_kv));
}

static void ranks_have_everything_once(void **state)
{
    struct rig r;
    struct err e;
    size_t block;

    (void)state;
    assert_int_equal(rig_open(&r, backend_find("cpu", &e), NULL, "llama-Q8_0.gguf", DTYPE_F32, &e),
                     0);
    block = quant_format(weights_tensor(r.w, "blk.0.attn_output.weight")->dtype)->block_values;
    assert_int_equal(block, 32);
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        for (size_t n = 2; n <= MOST_RANKS; n++) {
            struct model m = model_of(&r, &SHAPES[i]);
            size_t heads = 0, ff = 0, vocab = 0;

            for (size_t k = 0; k < n; k++) {
                struct rank_slice s;

                assert_int_equal(slice_find(&s, &m, r.w, k, n, &e), 0);
                assert_follows(&s.heads, &heads, 1);
                assert_int_equal(s.heads.n * m.head_dim % block, 0);
                assert_follows(&s.ff, &ff, block);
                assert_kv(&s, &SHAPES[i]);
                assert_int_equal(s.vocab[k], vocab);
                vocab = s.vocab[k + 1];
                /* nobody has more than an even share and the rest of a cut */
                assert_true(s.ff.n <= SHAPES[i].n_ff / n + block);
            }
            assert_int_equal(heads, SHAPES[i].n_head);
            assert_int_equal(ff, SHAPES[i].n_ff);
            assert_int_equal(vocab, m.n_vocab);
        }
    rig_close(&r);
}

/* SmolLM2 on 2 to 5 ranks, worked out by hand. */
static void nine_heads_of_three(void **state)
{
    static const struct {
        size_t n, rank, from, heads, n_kv;
        bool zeros;
    } want[] = {
        { 2, 0, 0, 6, 2, false }, { 2, 1, 6, 3, 1, false }, { 3, 0, 0, 3, 1, false },
        { 3, 2, 6, 3, 1, false }, { 4, 2, 6, 3, 1, false }, { 4, 3, 0, 1, 1, true },
        { 9, 4, 4, 1, 1, false },
    };
    struct rig r;
    struct err e;

    (void)state;
    assert_int_equal(rig_open(&r, backend_find("cpu", &e), NULL, "llama-Q8_0.gguf", DTYPE_F32, &e),
                     0);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct model m = model_of(&r, &SHAPES[0]);
        struct rank_slice s;

        assert_int_equal(slice_find(&s, &m, r.w, want[i].rank, want[i].n, &e), 0);
        assert_int_equal(s.heads.from, want[i].from);
        assert_int_equal(s.heads.n, want[i].heads);
        assert_int_equal(s.n_kv, want[i].n_kv);
        assert_true(s.heads.zeros == want[i].zeros);
    }
    rig_close(&r);
}

static void what_cannot_be_a_rank_is_refused(void **state)
{
    struct rank_slice s;
    struct rig r;
    struct err e;

    (void)state;
    assert_int_equal(rig_open(&r, backend_find("cpu", &e), NULL, "llama-Q8_0.gguf", DTYPE_F32, &e),
                     0);
    assert_int_equal(slice_find(&s, &r.model, r.w, 2, 2, &e), ERR_INVALID);
    assert_int_equal(slice_find(&s, &r.model, r.w, 0, RANKS_MAX + 1, &e), ERR_INVALID);
    assert_int_equal(slice_find(&s, &r.model, r.w, 0, 0, &e), ERR_INVALID);
    rig_close(&r);
}

/* A model on one rank of n: how much of its matrices. */
static uint64_t matrix_bytes(const char *file, size_t rank, size_t n)
{
    const struct backend *b = backend_find("cpu", NULL);
    struct model m = { 0 };
    struct weights *w;
    struct device *d;
    uint64_t bytes;

    assert_int_equal(b->open(&d, &(struct backend_options){ .n_threads = 1 }, NULL), 0);
    assert_int_equal(weights_open(&w, rig_path(file), NULL), 0);
    assert_int_equal(model_check(&m, w, NULL), 0);
    assert_int_equal(model_slice(&m, w, rank, n, NULL), 0);
    assert_int_equal(model_upload(&m, w, b, d, 0, NULL, NULL, NULL), 0);
    bytes = m.matrix_bytes;
    model_close(&m);
    weights_close(w);
    b->close(d);
    return bytes;
}

static void memory_falls_with_the_ranks(void **state)
{
    static const char *const files[] = { "llama-Q8_0.gguf", "gemma3_text-Q8_0.gguf",
                                         "qwen3-Q8_0.gguf" };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        uint64_t whole = matrix_bytes(files[i], 0, 1);

        assert_true(whole > 0);
        for (size_t n = 2; n <= 4; n++) {
            uint64_t sum = 0;

            for (size_t rank = 0; rank < n; rank++) {
                uint64_t own = matrix_bytes(files[i], rank, n);

                sum += own;
                if (own > whole / n * 2) /* these models have few blocks to deal out */
                    fail_msg("%s: rank %zu of %zu has %llu of %llu bytes", files[i], rank, n,
                             (unsigned long long)own, (unsigned long long)whole);
            }
            assert_true(sum >= whole); /* a kv head may be on several ranks */
        }
    }
}

/* --- tensors --- */

enum { BLOCKS = 6 };

/* Of any bytes: those of a file are not special. */
static void parts_are_what_the_whole_decodes_to(const struct quant_format *f)
{
    size_t each = f->block_values, cols = BLOCKS * each, rows = 4 * each;
    struct tensor t = {
        .name = "t", .dtype = f->dtype, .n_dims = 2, .shape = { rows, cols, 1, 1 }
    };
    struct rank_slice s = { .n_ranks = 3, .head_dim = each, .n_kv = 3, .kv = { 0, 0, 3 } };
    float *whole, *part;
    unsigned char *bytes;

    t.bytes = rows * BLOCKS * f->block_bytes;
    bytes = malloc(t.bytes);
    whole = malloc(rows * cols * sizeof *whole);
    part = malloc(rows * cols * sizeof *part);
    assert_true(bytes && whole && part);
    for (size_t i = 0; i < t.bytes; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    t.data = bytes;
    f->decode(whole, bytes, rows * BLOCKS);
    s.heads = (struct slice_part){ .from = 1, .n = 3 };
    s.ff = (struct slice_part){ .from = 2 * each, .n = 3 * each };
    for (int k = 0; k < 4; k++) {
        /* rows by head and columns of ff; rows of kv, some of them twice; columns alone; zeros */
        const struct slot_dims dims[] = { { DIM_Q, DIM_FF },
                                          { DIM_KV, DIM_EMBD },
                                          { DIM_EMBD, DIM_FF },
                                          { DIM_FF_EXPERT, DIM_EMBD } };
        const size_t n_rows[] = { 3 * each, 3 * each, rows, each };
        size_t first = k == 0 || k == 2 ? 2 * each : 0, n = k == 0 || k == 2 ? 3 * each : cols;
        struct tensor out, shape;
        void *copy;

        s.ff_expert = (struct slice_part){ .n = each, .zeros = true };
        assert_int_equal(slice_cut(&s, dims[k], &t, &out, &copy, NULL), 0);
        slice_shape(&s, dims[k], &t, &shape);
        assert_int_equal(tensor_rows(&out), n_rows[k]);
        assert_int_equal(tensor_cols(&out), n);
        assert_int_equal(shape.bytes, out.bytes);
        assert_int_equal(out.bytes, n_rows[k] * (n / each) * f->block_bytes);
        f->decode(part, out.data, n_rows[k] * n / each);
        for (size_t i = 0; i < n_rows[k]; i++) {
            size_t row = k == 0 ? each + i : k == 1 ? s.kv[i / each] * each + i % each : i;

            for (size_t j = 0; k == 3 && j < n; j++)
                assert_true(part[i * n + j] == 0);
            if (k < 3)
                assert_memory_equal(part + i * n, whole + row * cols + first, n * sizeof *part);
        }
        free(copy);
    }
    free(bytes);
    free(whole);
    free(part);
}

static void every_format_is_cut(void **state)
{
    size_t n;
    const struct quant_format *const *all = quant_all(&n);

    (void)state;
    for (size_t i = 0; i < n; i++)
        parts_are_what_the_whole_decodes_to(all[i]);
}

static void rows_stay_where_they_are(void **state)
{
    float data[8 * 4];
    struct tensor t = { .name = "t",
                        .dtype = DTYPE_F32,
                        .n_dims = 2,
                        .shape = { 8, 4, 1, 1 },
                        .data = data,
                        .bytes = sizeof data,
                        .mapped = true };
    struct rank_slice s = { .rank = 1, .n_ranks = 2, .vocab = { 0, 5, 8 } };
    struct tensor out;
    void *copy;

    (void)state;
    s.ff = (struct slice_part){ .from = 2, .n = 3 };
    assert_int_equal(slice_cut(&s, (struct slot_dims){ DIM_FF, DIM_EMBD }, &t, &out, &copy, NULL),
                     0);
    assert_null(copy);
    assert_ptr_equal(out.data, data + 2 * 4);
    assert_true(out.mapped);
    slice_head(&s, &t, &out);
    assert_ptr_equal(out.data, data + 5 * 4);
    assert_int_equal(tensor_rows(&out), 3);
    s.n_ranks = 0; /* whole: nothing is cut */
    assert_int_equal(slice_cut(&s, (struct slot_dims){ DIM_FF, DIM_EMBD }, &t, &out, &copy, NULL),
                     0);
    assert_ptr_equal(out.data, data);
    assert_int_equal(tensor_rows(&out), 8);
}

/* --- messages --- */

static void steps_come_out_as_they_went_in(void **state)
{
    const int32_t ids[] = { 3, 1, 4, 1, 5 }, outs[] = { 0, 4 }, hidden[] = { 2 };
    const int32_t pages[] = { 7, 8 }, more[] = { 9 };
    const struct seq_span spans[] = {
        { .row = 0, .n = 2, .pos = 15, .pages = pages },
        { .row = 2, .n = 3, .pages = more, .reach = 5, .far = true }
    };
    const struct ranks_step want = { .forward = 1,
                                     .n = 77,
                                     .begins = true,
                                     .step = { .prompt = true,
                                               .attend_rows = 3,
                                               .ids = ids,
                                               .n_rows = 5,
                                               .spans = spans,
                                               .n_spans = 2,
                                               .out_rows = outs,
                                               .n_outputs = 2,
                                               .hidden_rows = hidden,
                                               .n_hidden = 1 } };
    struct seq_span *room = NULL;
    struct ranks_step got;
    enum ranks_message kind;
    struct buf b = { 0 };
    size_t len, which;
    bool begins;
    struct err e;

    (void)state;
    message_step(&b, &want, 16);
    assert_int_equal(message_kind(&b, &kind, &e), 0);
    assert_int_equal(kind, RANKS_STEP);
    assert_int_equal(message_read_which(&b, &which, &begins, &e), 0);
    assert_true(which == 1 && begins);
    assert_int_equal(message_read_step(&b, &got, &room, &e), 0);
    assert_true(got.forward == 1 && got.n == 77 && got.begins && got.step.prompt);
    assert_true(got.step.attend_rows == 3 && got.step.n_rows == 5 && got.step.n_spans == 2);
    assert_memory_equal(got.step.ids, ids, sizeof ids);
    assert_memory_equal(got.step.out_rows, outs, sizeof outs);
    assert_memory_equal(got.step.hidden_rows, hidden, sizeof hidden);
    assert_true(got.step.spans[0].pos == 15 && got.step.spans[1].reach == 5);
    assert_true(!got.step.spans[0].far && got.step.spans[1].far);
    assert_memory_equal(got.step.spans[0].pages, pages, sizeof pages);
    assert_memory_equal(got.step.spans[1].pages, more, sizeof more);
    len = b.len;
    for (b.len = 0; b.len < len; b.len++) { /* cut short anywhere, in memory of that length */
        struct buf cut = { .data = malloc(b.len ? b.len : 1), .len = b.len };

        assert_non_null(cut.data);
        memcpy(cut.data, b.data, b.len);
        if (message_kind(&cut, &kind, &e) == 0)
            assert_int_equal(message_read_step(&cut, &got, &room, &e), ERR_FORMAT);
        free(cut.data);
    }
    b.len = len;
    buf_put(&b, "more", 4);
    assert_int_equal(message_read_step(&b, &got, &room, &e), ERR_FORMAT);
    buf_done(&b);
    free(room);
}

static void other_messages_too(void **state)
{
    struct ranks_model hello = { 1, 2, "avx2" }, hello2;
    struct kv_shape shape = { .n_layers = 3, .n_pages = 9, .page_tokens = 64 }, shape2;
    struct ranks_copy copy = { 4, 5, 6 }, copy2;
    struct ranks_forward f = { 7, 8 }, f2;
    enum ranks_message kind;
    struct buf b = { 0 };
    struct err e;

    (void)state;
    message_hello(&b, &hello);
    assert_int_equal(message_read_hello(&b, &hello2, &e), 0);
    assert_memory_equal(&hello, &hello2, sizeof hello);
    b.len--;
    assert_int_equal(message_read_hello(&b, &hello2, &e), ERR_FORMAT);
    buf_reset(&b);
    message_cache(&b, &shape);
    assert_int_equal(message_read_cache(&b, &shape2, &e), 0);
    assert_int_equal(shape2.n_pages, 9);
    buf_reset(&b);
    message_copy(&b, &copy);
    assert_int_equal(message_read_copy(&b, &copy2, &e), 0);
    assert_int_equal(copy2.to, 5);
    buf_reset(&b);
    message_forward(&b, &f);
    assert_int_equal(message_read_forward(&b, &f2, &e), 0);
    assert_int_equal(f2.max_outputs, 8);
    b.data[0] = 99;
    assert_int_equal(message_kind(&b, &kind, &e), ERR_FORMAT);
    buf_reset(&b);
    message_end(&b);
    assert_int_equal(message_kind(&b, &kind, &e), 0);
    assert_int_equal(kind, RANKS_END);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_have_everything_once),
        cmocka_unit_test(nine_heads_of_three),
        cmocka_unit_test(what_cannot_be_a_rank_is_refused),
        cmocka_unit_test(memory_falls_with_the_ranks),
        cmocka_unit_test(every_format_is_cut),
        cmocka_unit_test(rows_stay_where_they_are),
        cmocka_unit_test(steps_come_out_as_they_went_in),
        cmocka_unit_test(other_messages_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
