/* tok_bench - how fast a tokenizer is, on one core.
 *
 *     tests/bench/tok_bench MODEL TEXT [SECONDS]     a GGUF file or folder; a file of text; 2
 *
 * The text is encoded as one, and in pieces of 4 kB as requests bring it; MB/s of the best run of
 * each.  Compare figures of one run only. */
#include <stdio.h>
#include <stdlib.h>

#include "inference/hf.h"
#include "inference/text/tokenizer.h"
#include "kernels/base/clock.h"

enum { PIECE = 4096 };

/* One run; returns how many ids. */
static size_t run(const struct tokenizer *t, const char *text, size_t len, size_t piece)
{
    const struct encode_options o = { .parse_special = true };
    struct ids ids = { 0 };
    struct err e;
    size_t n = 0;

    for (size_t i = 0; i < len; i += piece) {
        size_t k = len - i < piece ? len - i : piece;

        ids.len = 0;
        if (tokenizer_encode(t, text + i, k, &o, &ids, &e)) {
            fprintf(stderr, "%s\n", e.text);
            exit(1);
        }
        n += ids.len;
    }
    ids_done(&ids);
    return n;
}

static void measure(const struct tokenizer *t, const char *text, size_t len, size_t piece,
                    double ms)
{
    double best = 1e9, begin = clock_ms();
    size_t n;

    do {
        double start = clock_ms(), took;

        n = run(t, text, len, piece);
        took = clock_ms() - start;
        if (took < best)
            best = took;
    } while (clock_ms() - begin < ms);
    printf("%8.1f MB/s  %9zu ids  pieces of %zu\n", (double)len / best / 1e3, n, piece);
}

int main(int argc, char **argv)
{
    struct weights *w;
    struct tokenizer *t;
    struct err e;
    FILE *f;
    char *text;
    size_t len, cap = 64 << 20;
    double start = clock_ms();

    if (argc < 3 || !(f = fopen(argv[2], "rb")) || !(text = malloc(cap))) {
        fprintf(stderr, "usage: tok_bench MODEL TEXT [SECONDS]\n");
        return 2;
    }
    len = fread(text, 1, cap, f);
    fclose(f);
    if (hf_open(&w, argv[1], &e) || tokenizer_open(&t, w, &e)) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    printf("opened in %.0f ms\n", clock_ms() - start);
    for (size_t k = 0; k < 2; k++)
        measure(t, text, len, k ? PIECE : len ? len : 1, argc > 3 ? atof(argv[3]) * 1e3 : 2e3);
    tokenizer_close(t);
    weights_close(w);
    free(text);
    return 0;
}
