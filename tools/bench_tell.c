/* bench_tell.c - the result of airstrip-bench, as lines or as one JSON object. */
#include <stdio.h>
#include <string.h>

#include "kernels/base/json.h"
#include "tools/bench.h"

/* The object being made; a lack of memory shows when it is written. */
struct telling {
    struct arena arena;
    struct value *map;
};

static void put(struct telling *t, const char *key, struct value *v)
{
    (void)value_set(&t->arena, t->map, key, strlen(key), v);
}

static void put_float(struct telling *t, const char *key, double x, double digits)
{
    put(t, key, value_float(&t->arena, (double)(long long)(x * digits + 0.5) / digits));
}

static void put_tenth(struct telling *t, const char *key, double x)
{
    put_float(t, key, x, 10);
}

static void put_share(struct telling *t, const char *key, double part, double whole)
{
    if (whole > 0)
        put_float(t, key, part / whole, 1000);
}

static void put_text(struct telling *t, const char *key, const char *s)
{
    put(t, key, value_string(&t->arena, s, strlen(s)));
}

static void put_count(struct telling *t, const char *key, size_t n)
{
    put(t, key, value_int(&t->arena, (int64_t)n));
}

static void put_key(char *to, size_t size, size_t batch, const char *what)
{
    if (batch == 1)
        snprintf(to, size, "gen_%s", what);
    else
        snprintf(to, size, "batch%zu_%s", batch, what);
}

/* Those that were not measured are null. */
static void put_rates(struct telling *t, const struct bench_options *o,
                      const struct bench_result *r)
{
    static const char *const usual[] = { "gen_tps", "batch4_tps", "batch16_tps" };
    char key[48];

    put_tenth(t, "prompt_tps", r->prompt_tps);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        put(t, usual[i], value_null(&t->arena));
    for (size_t i = 0; i < o->n_batches; i++) {
        put_key(key, sizeof key, o->batches[i], "tps");
        put_tenth(t, key, r->gen_tps[i]);
    }
}

/* A batch reads the matrices once for all its sequences. */
static void put_limits(struct telling *t, const struct bench_options *o,
                       const struct bench_result *r)
{
    char key[48];

    put_float(t, "mb_per_token", r->bytes_per_token / 1e6, 10);
    put_float(t, "read_gbps", r->read_gbps, 100);
    for (size_t i = 0; i < o->n_batches; i++) {
        put_key(key, sizeof key, o->batches[i], "read_share");
        put_share(t, key, r->bytes_per_token * r->gen_tps[i] / (double)o->batches[i] / 1e9,
                  r->read_gbps);
    }
    put_float(t, "prompt_gop_per_token", r->ops_per_token / 1e9, 1000);
    for (size_t i = 0; i < r->n_peaks; i++) {
        snprintf(key, sizeof key, "%s_peak_gops", r->peaks[i].name);
        put_tenth(t, key, r->peaks[i].gops);
        snprintf(key, sizeof key, "prompt_%s_share", r->peaks[i].name);
        put_share(t, key, r->ops_per_token * r->prompt_tps / 1e9, r->peaks[i].gops);
    }
}

static void put_engine(struct telling *t, const struct bench_options *o,
                       const struct bench_result *r)
{
    if (o->rates_only)
        return;
    put_tenth(t, "ttft_ms", r->ttft_ms);
    if (o->n_turn) {
        put_float(t, "first_turn_ms", r->first_turn_ms, 100);
        put_float(t, "second_turn_ms", r->second_turn_ms, 100);
    }
    if (o->n_long) {
        put_float(t, "gap_quiet_p50_ms", r->gap_ms[0][0], 100);
        put_float(t, "gap_quiet_p99_ms", r->gap_ms[0][1], 100);
        put_float(t, "gap_prompt_p50_ms", r->gap_ms[1][0], 100);
        put_float(t, "gap_prompt_p99_ms", r->gap_ms[1][1], 100);
        put_float(t, "gap_after_p50_ms", r->gap_ms[2][0], 100);
        put_float(t, "gap_of_quiet_p99", r->gap_of_quiet, 100);
        put_float(t, "prompt_beside_ms", r->beside_ms, 1);
    }
    if (o->quote) {
        put_tenth(t, "quote_tps", r->quote_tps[0]);
        put_tenth(t, "quote_spec_tps", r->quote_tps[1]);
        put_tenth(t, "plain_tps", r->plain_tps[0]);
        put_tenth(t, "plain_spec_tps", r->plain_tps[1]);
    }
    if (o->n_guided) {
        put_tenth(t, "free_tps", r->guided_tps[0]);
        put_tenth(t, "guided_tps", r->guided_tps[1]);
        put_float(t, "guided_share", r->guided_share[1], 1000);
        put_tenth(t, "guided_forced_tps", r->guided_tps[2]);
        put_float(t, "guided_forced_share", r->guided_share[2], 1000);
        put_float(t, "guided_processor", r->guided_ms[1], 1000);
        put_float(t, "guided_forced_processor", r->guided_ms[2], 1000);
    }
}

static void put_all(struct telling *t, const struct bench_options *o, const struct bench_result *r)
{
    put_rates(t, o, r);
    put_limits(t, o, r);
    put_engine(t, o, r);
    put_tenth(t, "load_ms", r->load_ms);
    put_tenth(t, "peak_mb", r->peak_mb);
    put_tenth(t, "file_mb", r->file_mb);
    put_tenth(t, "kv_mb", r->kv_mb);
    put_text(t, "isa", r->isa);
    put_text(t, "device", r->device);
    put_count(t, "threads", r->n_threads);
    if (o->n_ranks > 1)
        put_count(t, "ranks", o->n_ranks);
    put_text(t, "model", r->model);
    put_text(t, "architecture", r->architecture);
    put_text(t, "quantisation", r->quantisation);
    put_count(t, "prompt_tokens", o->n_prompt);
    put_count(t, "gen_tokens", o->n_gen);
    put_count(t, "repeats", o->n_repeats);
}

static void write_lines(struct buf *b, const struct value *map)
{
    for (size_t i = 0; i < map->map.len; i++) {
        const struct value *v = map->map.pairs[i].value;

        if (v->kind == VALUE_NULL)
            continue;
        buf_printf(b, "%-20s ", map->map.pairs[i].key);
        if (v->kind == VALUE_STRING)
            buf_puts(b, v->string.data);
        else
            json_write(b, v);
        buf_putc(b, '\n');
    }
}

int bench_tell(const struct bench_options *o, const struct bench_result *r)
{
    struct telling t = { 0 };
    struct buf b = { 0 };
    int rc = 1;

    arena_init(&t.arena, 0);
    t.map = value_map(&t.arena);
    if (t.map) {
        put_all(&t, o, r);
        if (o->json) {
            json_write(&b, t.map);
            buf_putc(&b, '\n');
        } else {
            write_lines(&b, t.map);
        }
        rc = b.failed || fputs(buf_str(&b), stdout) == EOF || fflush(stdout) == EOF;
    }
    buf_done(&b);
    arena_done(&t.arena);
    return rc;
}
