/* bench.c - airstrip-bench: how fast a model runs on this machine.
 *
 * Drives the forward pass directly, as a benchmark of the arithmetic; only the time to the first
 * token goes through the engine.  Loading is never part of a rate. */
#include "tools/bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/json.h"
#include "kernels/base/log.h"

static const char USAGE[] =
    "usage: airstrip-bench -m FILE [options]\n"
    "Measures prompt and generation speed of a GGUF model, without a server.\n\n"
    "  -m FILE         the model\n"
    "  -p N            prompt tokens (512)\n"
    "  -n N            tokens generated per sequence (128)\n"
    "  -t N            threads (one per processor)\n"
    "  -r N            repetitions, of which the median is told (3)\n"
    "  --batch LIST    sequences generated together (1,4,16)\n"
    "  --isa NAME      instruction set: scalar, avx2, avx512, amx (AIRSTRIP_ISA, else the fastest)\n"
    "  -o text|json    form of the result (text)\n"
    "  -h              this text\n";

static int bad(const char *fmt, const char *what)
{
    fprintf(stderr, "airstrip-bench: ");
    fprintf(stderr, fmt, what);
    fprintf(stderr, " (airstrip-bench -h tells the options)\n");
    return 2;
}

/* 0, or 2 with a sentence. */
static int parse_number(const char *name, const char *text, size_t lo, size_t hi, size_t *out)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || n < lo || n > hi) {
        fprintf(stderr, "airstrip-bench: %s wants a number from %zu to %zu, not \"%s\"\n", name, lo,
                hi, text);
        return 2;
    }
    *out = (size_t)n;
    return 0;
}

static int parse_batches(struct bench_options *o, char *list)
{
    char *save = NULL;

    o->n_batches = 0;
    for (char *s = strtok_r(list, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
        if (o->n_batches == BENCH_MAX_BATCHES)
            return bad("--batch lists too many sizes, from \"%s\" on", s);
        if (parse_number("--batch", s, 1, 256, &o->batches[o->n_batches++]))
            return 2;
    }
    return o->n_batches ? 0 : bad("--batch wants a list of numbers, not \"%s\"", list);
}

static int parse_format(struct bench_options *o, const char *name)
{
    o->json = strcmp(name, "json") == 0;
    return o->json || strcmp(name, "text") == 0 ? 0
                                                : bad("-o knows text and json, not \"%s\"", name);
}

/* 0 to go on, 1 for help, 2 for a mistake that was told. */
static int parse_options(struct bench_options *o, int argc, char **argv)
{
    static const struct option LONG[] = { { "batch", required_argument, NULL, 'b' },
                                          { "isa", required_argument, NULL, 'i' },
                                          { "help", no_argument, NULL, 'h' },
                                          { NULL, 0, NULL, 0 } };
    int c, rc = 0;

    opterr = 0;
    while (!rc && (c = getopt_long(argc, argv, ":m:p:n:t:r:o:h", LONG, NULL)) != -1) {
        switch (c) {
        case 'm':
            o->model_path = optarg;
            break;
        case 'p':
            rc = parse_number("-p", optarg, 1, 1u << 24, &o->n_prompt);
            break;
        case 'n':
            rc = parse_number("-n", optarg, 1, 1u << 24, &o->n_gen);
            break;
        case 't':
            rc = parse_number("-t", optarg, 0, 1024, &o->n_threads);
            break;
        case 'r':
            rc = parse_number("-r", optarg, 1, BENCH_MAX_REPEATS, &o->n_repeats);
            break;
        case 'b':
            rc = parse_batches(o, optarg);
            break;
        case 'i':
            o->isa = optarg;
            break;
        case 'o':
            rc = parse_format(o, optarg);
            break;
        case 'h':
            return 1;
        case ':':
            return bad("the option %s wants a value", argv[optind - 1]);
        default:
            return bad("there is no option %s", argv[optind - 1]);
        }
    }
    if (!rc && optind < argc)
        return bad("\"%s\" is not an option", argv[optind]);
    if (!rc && !o->model_path)
        return bad("%s is missing: which model?", "-m FILE");
    return rc;
}

static void add(struct arena *a, struct value *map, const char *key, struct value *v)
{
    (void)value_set(a, map, key, strlen(key), v); /* a lack shows when the object is written */
}

static struct value *tenth(struct arena *a, double x)
{
    return value_float(a, (double)(long long)(x * 10 + 0.5) / 10);
}

/* The rate at this batch size; null where it was not measured. */
static struct value *rate(struct arena *a, const struct bench_options *o,
                          const struct bench_result *r, size_t batch)
{
    for (size_t i = 0; i < o->n_batches; i++)
        if (o->batches[i] == batch)
            return tenth(a, r->gen_tps[i]);
    return value_null(a);
}

static struct value *tell(struct arena *a, const struct bench_options *o,
                          const struct bench_result *r)
{
    struct value *m = value_map(a);
    char key[32];

    if (!m)
        return NULL;
    add(a, m, "prompt_tps", tenth(a, r->prompt_tps));
    add(a, m, "gen_tps", rate(a, o, r, 1));
    add(a, m, "batch4_tps", rate(a, o, r, 4));
    add(a, m, "batch16_tps", rate(a, o, r, 16));
    for (size_t i = 0; i < o->n_batches; i++)
        if (o->batches[i] != 1) {
            snprintf(key, sizeof key, "batch%zu_tps", o->batches[i]);
            add(a, m, key, tenth(a, r->gen_tps[i]));
        }
    add(a, m, "ttft_ms", tenth(a, r->ttft_ms));
    add(a, m, "load_ms", tenth(a, r->load_ms));
    add(a, m, "peak_mb", tenth(a, r->peak_mb));
    add(a, m, "isa", value_string(a, r->isa, strlen(r->isa)));
    add(a, m, "threads", value_int(a, (int64_t)r->n_threads));
    add(a, m, "model", value_string(a, r->model, strlen(r->model)));
    add(a, m, "architecture", value_string(a, r->architecture, strlen(r->architecture)));
    add(a, m, "quantisation", value_string(a, r->quantisation, strlen(r->quantisation)));
    add(a, m, "prompt_tokens", value_int(a, (int64_t)o->n_prompt));
    add(a, m, "gen_tokens", value_int(a, (int64_t)o->n_gen));
    add(a, m, "repeats", value_int(a, (int64_t)o->n_repeats));
    return m;
}

static int print(const struct bench_options *o, const struct bench_result *r)
{
    struct buf b = { 0 };
    struct arena a;
    struct value *m;
    int rc = 0;

    arena_init(&a, 0);
    m = tell(&a, o, r);
    for (size_t i = 0; m && !o->json && i < m->map.len; i++) {
        const struct value *v = m->map.pairs[i].value;

        if (v->kind == VALUE_NULL)
            continue;
        buf_printf(&b, "%-14s ", m->map.pairs[i].key);
        if (v->kind == VALUE_STRING)
            buf_puts(&b, v->string.data);
        else
            json_write(&b, v);
        buf_putc(&b, '\n');
    }
    if (m && o->json) {
        json_write(&b, m);
        buf_putc(&b, '\n');
    }
    if (!m || b.failed || fputs(buf_str(&b), stdout) == EOF || fflush(stdout) == EOF)
        rc = 1;
    buf_done(&b);
    arena_done(&a);
    return rc;
}

int main(int argc, char **argv)
{
    struct bench_options o = { .isa = getenv("AIRSTRIP_ISA"),
                               .n_prompt = 512,
                               .n_gen = 128,
                               .n_repeats = 3,
                               .batches = { 1, 4, 16 },
                               .n_batches = 3 };
    struct bench_result r = { 0 };
    struct err e;
    int rc = parse_options(&o, argc, argv);

    if (rc == 1) {
        fputs(USAGE, stdout);
        return 0;
    }
    if (rc)
        return rc;
    log_set_level(LOG_WARN);
    if (bench_forward(&o, &r, &e) || bench_engine(&o, &r, &e)) {
        fprintf(stderr, "airstrip-bench: %s\n", e.text);
        return 1;
    }
    return print(&o, &r);
}
