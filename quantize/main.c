/* airstrip-quantize IN OUT TYPE: a model as a GGUF file with weights of a smaller type.
 * hf or weights (what there is) -> plan, recipe (what there will be) -> keys, convert ->
 * gguf_write.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "inference/hf.h"
#include "inference/model.h"
#include "kernels/quant/quant.h"
#include "quantize/convert.h"
#include "quantize/keys.h"
#include "quantize/plan.h"
#include "quantize/progress.h"

enum { MAX_THREADS = 1024 };

static const char usage[] =
    "usage: airstrip-quantize [OPTION]... IN OUT TYPE\n"
    "\n"
    "Writes the model IN, a GGUF file or a Hugging Face folder, as the GGUF file OUT with weights\n"
    "of TYPE: Q8_0, Q6_K, Q5_K, Q4_K, Q4_1, Q4_0, or F16, BF16, F32.\n"
    "\n"
    "  --pure       all matrices of TYPE, also those for which more bits are usual\n"
    "  --threads N  default: one for each processor\n"
    "  --quiet      no progress, no summary\n"
    "  --help, --version\n";

struct options {
    bool pure, quiet;
    size_t threads;
    const char *in, *out;
    const struct recipe *recipe;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static void catch_signals(void)
{
    struct sigaction a = { .sa_handler = interrupt };

    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
    a.sa_handler = SIG_IGN; /* a file that may not grow further is an error like others */
    sigaction(SIGXFSZ, &a, NULL);
}

static int tick(void *arg, size_t bytes, struct err *e)
{
    progress_add(arg, bytes);
    return interrupted ? err_set(e, ERR_CANCELLED, "interrupted; nothing was written") : 0;
}

/* OUT may be there already, but not as a folder, nor as what is being read. */
static int check_out(const struct options *o, struct err *e)
{
    struct stat in, out;

    if (stat(o->out, &out))
        return 0; /* creating it will say what is wrong */
    if (!S_ISREG(out.st_mode))
        return err_set(e, ERR_INVALID, "%s is there and not a file", o->out);
    if (stat(o->in, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return err_set(e, ERR_INVALID, "%s is what is to be read", o->out);
    return 0;
}

static size_t count_layers(const struct weights *w)
{
    struct str arch;
    char key[96];
    uint64_t n = 0;
    struct err ignored;

    if (weights_str(w, "general.architecture", &arch, &ignored))
        return 0;
    snprintf(key, sizeof key, "%.*s.block_count", (int)(arch.len < 64 ? arch.len : 64), arch.data);
    return weights_u64(w, key, &n, &ignored) == 0 && n <= 1 << 16 ? (size_t)n : 0;
}

/* "Q4_K 182, Q6_K 29, F32 61; 4.83 bits a weight" */
static void summarise(const struct options *o, const struct plan *p, size_t file_bytes)
{
    size_t n, values = 0, bytes = 0, fallen = 0, copied = 0;
    const struct quant_format *const *all = quant_all(&n);
    const char *comma = "";

    for (size_t i = 0; i < p->n; i++) {
        values += tensor_count(&p->items[i].t);
        bytes += p->items[i].bytes;
        fallen += p->items[i].fell_back;
        copied += p->items[i].copied;
    }
    printf("%s: %.1f MB, %.2f bits a weight\n  tensors:", o->out, (double)file_bytes / 1e6,
           values ? 8.0 * (double)bytes / (double)values : 0);
    for (size_t f = 0; f < n; f++) {
        size_t of_type = 0;

        for (size_t i = 0; i < p->n; i++)
            of_type += p->items[i].t.dtype == all[f]->dtype;
        if (of_type) {
            printf("%s %zu of %s", comma, of_type, all[f]->name);
            comma = ",";
        }
    }
    putchar('\n');
    if (fallen)
        printf("  %zu have rows that are not whole blocks of the type meant for them, and got "
               "another\n",
               fallen);
    if (copied)
        printf("  %zu were quantised as far already, and stay as they are\n", copied);
}

static int write_all(const struct options *o, const struct weights *w, const struct model *folder,
                     struct plan *p, struct err *note, struct err *e)
{
    struct gguf_writer *g = NULL;
    struct converter *c = NULL;
    size_t total = 0;
    int rc;

    if ((rc = converter_create(&c, o->threads, e)) || (rc = gguf_writer_create(&g, o->out, e)) ||
        (rc = keys_put(g, w, folder, o->recipe, note, e)))
        goto out;
    for (size_t i = 0; i < p->n && !rc; i++) {
        rc = gguf_put_tensor(g, &p->items[i].t, &p->items[i].bytes, e);
        total += p->items[i].bytes;
    }
    if (rc || (rc = gguf_begin(g, e)))
        goto out;
    progress_begin(o->quiet, total);
    for (size_t i = 0; i < p->n && !rc; i++) {
        char name[HF_NAME_BYTES];

        snprintf(name, sizeof name, "%s", p->items[i].t.name);
        rc = convert(c, g, &p->items[i], tick, name, e);
        for (size_t k = 0; k < p->items[i].n_parts; k++)
            weights_release(w, p->items[i].parts[k]);
    }
    progress_end();
    if (!rc)
        rc = gguf_finish(g, e);
    if (!rc && !o->quiet)
        summarise(o, p, gguf_file_bytes(g));
out:
    gguf_writer_free(g);
    converter_free(c);
    return rc;
}

static int run(const struct options *o, struct err *note, struct err *e)
{
    struct weights *w = NULL;
    struct plan p = { 0 };
    struct model m = { 0 };
    bool folder = folder_is(o->in);
    int rc = check_out(o, e);

    if (rc)
        return rc;
    rc = folder ? hf_open(&w, o->in, e) : weights_open(&w, o->in, e);
    if (!rc && folder && (rc = model_check(&m, w, e)) && e)
        err_prefix(e, "%s: ", o->in);
    if (!rc)
        rc = plan_tensors(&p, w, folder ? &m : NULL, e);
    if (!rc) {
        plan_types(&p, o->recipe, o->pure, folder ? m.n_layers : count_layers(w));
        rc = write_all(o, w, folder ? &m : NULL, &p, note, e);
    }
    plan_done(&p);
    weights_close(w);
    return rc;
}

/* 0, or the program's exit status + 1. */
static int read_options(struct options *o, int argc, char **argv)
{
    static const struct option options[] = {
        { "pure", no_argument, NULL, 'p' },    { "threads", required_argument, NULL, 't' },
        { "quiet", no_argument, NULL, 'q' },   { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' }, { NULL, 0, NULL, 0 },
    };
    const char *known;
    int k;

    while ((k = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
        switch (k) {
        case 'p':
            o->pure = true;
            break;
        case 'q':
            o->quiet = true;
            break;
        case 't':
            o->threads = strspn(optarg, "0123456789") == strlen(optarg) && strlen(optarg) < 5
                             ? (size_t)atoi(optarg)
                             : 0;
            if (o->threads >= 1 && o->threads <= MAX_THREADS)
                break;
            fprintf(stderr,
                    "airstrip-quantize: --threads: expected a number from 1 to %d, found \"%s\"\n",
                    MAX_THREADS, optarg);
            return 3;
        case 'h':
            fputs(usage, stdout);
            return 1;
        case 'v':
            puts("airstrip-quantize " VERSION);
            return 1;
        default:
            return 3;
        }
    }
    if (argc - optind != 3) {
        fputs(usage, stderr);
        return 3;
    }
    o->in = argv[optind];
    o->out = argv[optind + 1];
    o->recipe = recipe_find(argv[optind + 2], &known);
    if (o->recipe)
        return 0;
    fprintf(stderr, "airstrip-quantize: TYPE: expected one of %s, found \"%s\"\n", known,
            argv[optind + 2]);
    return 3;
}

int main(int argc, char **argv)
{
    struct options o = { 0 };
    struct err e = { 0 }, note = { 0 };
    int rc = read_options(&o, argc, argv);

    if (rc)
        return rc - 1;
    catch_signals();
    rc = run(&o, &note, &e);
    if (rc)
        fprintf(stderr, "airstrip-quantize: %s\n", e.text);
    else if (note.text[0])
        fprintf(stderr, "airstrip-quantize: note: %s\n", note.text);
    if (fflush(stdout) || ferror(stdout)) {
        fputs("airstrip-quantize: cannot write to standard output\n", stderr);
        return 1;
    }
    return rc ? 1 : 0;
}
