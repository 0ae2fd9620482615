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

#include "kernels/base/log.h"

static const char USAGE[] =
    "usage: airstrip-bench -m FILE [options]\n"
    "Measures prompt and generation speed of a GGUF model, without a server.\n\n"
    "  -m FILE         the model\n"
    "  -p N            prompt tokens (512)\n"
    "  -n N            tokens generated per sequence (128)\n"
    "  -t N            threads (one per processor)\n"
    "  --ranks N       ranks that compute the model together and share the threads (1)\n"
    "  -r N            repetitions, of which the median is told (3)\n"
    "  --batch LIST    sequences generated together (1,4,16)\n"
    "  --depth N       generated tokens follow N others (0)\n"
    "  --rates         rates and limits only: no time to the first token\n"
    "  --turn N        also: a conversation's second turn, after a first one of N tokens\n"
    "  --long N        also: a stream's gaps, alone and while a prompt of N tokens is evaluated\n"
    "  --guided N      also: N sequences at once, free and held to a JSON schema\n"
    "  --quote         also: guessed tokens on and off, in a text that quotes its prompt and one "
    "that "
    "does not\n"
    "  --device NAME   cpu, cuda or auto: the GPU where there is one (auto)\n"
    "  --isa NAME      instruction set: scalar, neon, avx2, avxvnni, avx512, avx512bf16, amx "
    "(AIRSTRIP_ISA, else the fastest)\n"
    "  --kv TYPE       keys and values: f32, f16, bf16, q8_0, f8 (f16)\n"
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
                                          { "device", required_argument, NULL, 'd' },
                                          { "isa", required_argument, NULL, 'i' },
                                          { "kv", required_argument, NULL, 'k' },
                                          { "turn", required_argument, NULL, 'T' },
                                          { "depth", required_argument, NULL, 'D' },
                                          { "rates", no_argument, NULL, 'R' },
                                          { "long", required_argument, NULL, 'L' },
                                          { "quote", no_argument, NULL, 'Q' },
                                          { "guided", required_argument, NULL, 'G' },
                                          { "ranks", required_argument, NULL, 'K' },
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
        case 'K':
            rc = parse_number("--ranks", optarg, 1, 64, &o->n_ranks);
            break;
        case 'b':
            rc = parse_batches(o, optarg);
            break;
        case 'd':
            o->device = optarg;
            break;
        case 'i':
            o->isa = optarg;
            break;
        case 'D':
            rc = parse_number("--depth", optarg, 0, 1u << 24, &o->depth);
            break;
        case 'R':
            o->rates_only = true;
            break;
        case 'T':
            rc = parse_number("--turn", optarg, 1, 1u << 24, &o->n_turn);
            break;
        case 'L':
            rc = parse_number("--long", optarg, 1, 1u << 24, &o->n_long);
            break;
        case 'G':
            rc = parse_number("--guided", optarg, 1, 256, &o->n_guided);
            break;
        case 'Q':
            o->quote = true;
            break;
        case 'k':
            o->kv = optarg;
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

int main(int argc, char **argv)
{
    struct bench_options o = { .isa = getenv("AIRSTRIP_ISA"),
                               .device = "auto",
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
    if (bench_forward(&o, &r, &e) || (!o.rates_only && bench_engine(&o, &r, &e))) {
        fprintf(stderr, "airstrip-bench: %s\n", e.text);
        return 1;
    }
    return bench_tell(&o, &r);
}
