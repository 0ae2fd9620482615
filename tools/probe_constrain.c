/* airstrip-probe constrain MODEL: random texts that fit, and what masks cost.
 *
 * Each line {"schema" | "regex" | "grammar" | "choice" | "object": ..., "samples": n, "seed": n,
 * "tokens": n, "verify": bool, "times": bool} is answered by {"texts": [...], "compile_us": n,
 * "masks": n, "mask_us": [median, 99th percentile, longest], "bytes": n} or {"code": n, "error":
 * str}.  A sample takes any token of the mask with the same chance; after so many tokens those that
 * soon come to an end.  One that has not come to it is null.  verify: each mask is compared with
 * trying every token.  times: "mask_us" has them all, the shortest first. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "inference/constraints.h"
#include "inference/hf.h"
#include "kernels/base/json.h"
#include "tools/probe.h"

enum { MAX_DEPTH = 200, MAX_TIMES = 1 << 20 };

struct sampling_state {
    struct weights *weights;
    struct tokenizer *tokenizer;
    struct constraints *constraints;
    size_t n_vocab;
    uint64_t *mask;
    uint64_t seed;
    double *times;
    size_t n_times;
};

/* Of this thread: what others take of the processor does not count. */
static double processor_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static uint32_t pick(struct sampling_state *s, uint32_t n)
{
    s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((s->seed >> 33) % n);
}

static int64_t int_of(const struct value *line, const char *name, int64_t otherwise)
{
    const struct value *v = value_get(line, name);

    return v && v->kind == VALUE_INT ? v->integer : otherwise;
}

static int read_spec(const struct value *line, struct spec *spec, struct err *e)
{
    const struct value *v;

    *spec = (struct spec){ 0 };
    if ((v = value_get(line, "schema"))) {
        spec->kind = SPEC_SCHEMA;
        spec->value = v;
    } else if ((v = value_get(line, "choice")) && v->kind == VALUE_LIST) {
        spec->kind = SPEC_CHOICE;
        spec->value = v;
    } else if ((v = value_get(line, "regex")) && v->kind == VALUE_STRING) {
        spec->kind = SPEC_REGEX;
        spec->text = v->string.data;
        spec->len = v->string.len;
    } else if ((v = value_get(line, "grammar")) && v->kind == VALUE_STRING) {
        spec->kind = SPEC_GBNF;
        spec->text = v->string.data;
        spec->len = v->string.len;
    } else if (value_get(line, "object")) {
        spec->kind = SPEC_OBJECT;
    } else {
        return err_set(e, ERR_FORMAT, "expected schema, regex, grammar, choice or object");
    }
    return 0;
}

static bool is_set(const uint64_t *mask, size_t i)
{
    return mask[i / 64] >> i % 64 & 1;
}

/* Compares the mask with trying every token. */
static int verify(struct sampling_state *s, struct constraint *c, int32_t at, struct err *e)
{
    for (size_t i = 0; i < s->n_vocab; i++) {
        struct str piece = tokenizer_piece(s->tokenizer, (int32_t)i, false);
        int32_t to = piece.len && !tokenizer_is_end(s->tokenizer, (int32_t)i)
                         ? constraint_accept(c, at, piece.data, piece.len)
                         : MATCH_DEAD;

        if ((to >= 0) != is_set(s->mask, i))
            return err_set(e, ERR_INTERNAL, "token %zu is %s the mask", i,
                           to >= 0 ? "not in" : "in");
    }
    return 0;
}

/* One of the n_set tokens of the mask; with `finish` one that brings the end nearer, where there is
 * one. */
static int32_t choose(struct sampling_state *s, size_t n_set, bool finish)
{
    static const char *const closing[] = { "\"", "}", "]", "0", "\":", ":", "1", "a" };
    size_t at, nth;
    uint64_t rest;

    for (size_t k = 0; finish && k < sizeof closing / sizeof *closing; k++) {
        int32_t id = tokenizer_find(s->tokenizer, closing[k], strlen(closing[k]));

        if (id >= 0 && is_set(s->mask, (size_t)id) && (k < 3 || pick(s, 2)))
            return id;
    }
    nth = pick(s, (uint32_t)n_set);
    for (at = 0; nth >= (size_t)__builtin_popcountll(s->mask[at]); at++)
        nth -= (size_t)__builtin_popcountll(s->mask[at]);
    rest = s->mask[at];
    while (nth--)
        rest &= rest - 1;
    at = 64 * at + (size_t)__builtin_ctzll(rest);
    return (int32_t)at;
}

static int64_t count(const struct sampling_state *s)
{
    int64_t n = 0;

    for (size_t i = 0; i < (s->n_vocab + 63) / 64; i++)
        n += __builtin_popcountll(s->mask[i]);
    return n;
}

static int sample(struct sampling_state *s, struct constraint *c, size_t most, bool check,
                  struct buf *out, bool *complete, struct err *e)
{
    int32_t at = constraint_start(c);
    int rc = 0;

    *complete = false;
    for (size_t i = 0; rc == 0 && i < 4 * most; i++) {
        double start = processor_ms();
        int64_t n = constraint_mask(c, at, s->mask);
        struct str piece;

        if (s->n_times < MAX_TIMES)
            s->times[s->n_times++] = (processor_ms() - start) * 1000;
        if (n < 0)
            return err_set(e, ERR_LIMIT, "the mask failed");
        n = count(s);
        if (check)
            rc = verify(s, c, at, e);
        if (constraint_may_end(c, at) && (n == 0 || i >= most || pick(s, 4) == 0)) {
            *complete = true;
            break;
        }
        if (rc == 0 && n == 0)
            return err_set(e, ERR_INTERNAL, "nothing may follow \"%.200s\"", buf_str(out));
        piece = tokenizer_piece(s->tokenizer, choose(s, (size_t)n, i >= most), false);
        at = constraint_accept(c, at, piece.data, piece.len);
        buf_put(out, piece.data, piece.len);
        if (at < 0)
            return err_set(e, ERR_INTERNAL, "a token of the mask does not fit");
    }
    return rc;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void put_times(struct sampling_state *s, bool all, size_t bytes, struct buf *out)
{
    const size_t some[] = { s->n_times / 2, s->n_times * 99 / 100, s->n_times - 1 };
    size_t n = all ? s->n_times : s->n_times ? 3 : 0;

    qsort(s->times, s->n_times, sizeof *s->times, by_size);
    buf_printf(out, "],\"masks\":%zu,\"mask_us\":[", s->n_times);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%.1f", i ? "," : "", s->times[all ? i : some[i]]);
    buf_printf(out, "],\"bytes\":%zu}", bytes);
}

static int answer(struct sampling_state *s, const struct value *line, struct buf *out,
                  struct err *e)
{
    int64_t n = int_of(line, "samples", 1), most = int_of(line, "tokens", 200);
    const struct value *check = value_get(line, "verify"), *all = value_get(line, "times");
    struct shape *shape = NULL;
    struct spec spec;
    double start = processor_ms();
    int rc = read_spec(line, &spec, e);

    if (rc == 0)
        rc = constraints_get(s->constraints, &spec, &shape, e);
    buf_printf(out, "{\"compile_us\":%.0f,\"texts\":[", (processor_ms() - start) * 1000);
    s->seed = (uint64_t)int_of(line, "seed", 1);
    s->n_times = 0;
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        struct buf text = { 0 };
        bool complete = false;

        rc = sample(s, shape->constraint, (size_t)most, check && check->boolean, &text, &complete,
                    e);
        buf_puts(out, i ? "," : "");
        if (complete)
            json_write_string(out, buf_str(&text), text.len);
        else
            buf_puts(out, "null");
        buf_done(&text);
    }
    if (rc == 0)
        put_times(s, all && all->boolean, constraint_bytes(shape->constraint), out);
    shape_unref(shape);
    return rc;
}

static int open_state(struct sampling_state *s, int argc, char **argv, struct err *e)
{
    int rc;

    *s = (struct sampling_state){ 0 };
    if (argc != 2)
        return err_set(e, ERR_INVALID, "expected one argument, the model file; found %d", argc - 1);
    rc = hf_open(&s->weights, argv[1], e);
    if (rc == 0)
        rc = tokenizer_open(&s->tokenizer, s->weights, e);
    if (rc == 0) {
        s->n_vocab = tokenizer_n_vocab(s->tokenizer);
        rc = constraints_open(&s->constraints, s->tokenizer, s->n_vocab, e);
    }
    s->mask = calloc(s->n_vocab / 64 + 1, sizeof *s->mask);
    s->times = calloc(MAX_TIMES, sizeof *s->times);
    if (rc == 0 && (!s->mask || !s->times))
        rc = err_set(e, ERR_NOMEM, "no memory for a mask");
    return rc == ERR_INVALID && argc == 2 ? ERR_FORMAT : rc;
}

static void close_state(struct sampling_state *s)
{
    constraints_close(s->constraints);
    tokenizer_close(s->tokenizer);
    weights_close(s->weights);
    free(s->mask);
    free(s->times);
}

int probe_constrain(int argc, char **argv, struct err *e)
{
    struct sampling_state s;
    struct arena arena;
    struct buf out = { 0 };
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc = open_state(&s, argc, argv, e);

    arena_init(&arena, 0);
    while (rc == 0 && (len = getline(&line, &cap, stdin)) >= 0) {
        struct value *v = NULL;
        struct err wrong = { .code = 0 };

        if (json_parse(line, (size_t)len, MAX_DEPTH, &arena, &v, &wrong) ||
            answer(&s, v, &out, &wrong)) {
            buf_reset(&out);
            buf_printf(&out, "{\"code\":%d,\"error\":", wrong.code);
            json_write_string(&out, wrong.text, strlen(wrong.text));
            buf_puts(&out, "}");
        }
        buf_putc(&out, '\n');
        if (out.failed)
            rc = err_set(e, ERR_NOMEM, "no memory for an answer");
        else if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
            rc = err_set(e, ERR_IO, "cannot write to standard output: %s", strerror(errno));
        buf_reset(&out);
        arena_done(&arena);
    }
    free(line);
    buf_done(&out);
    close_state(&s);
    return rc;
}
