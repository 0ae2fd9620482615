/* Any bytes as a tokenizer.json, and behind a NUL as a text for it: refused with a sentence, or the
 * text becomes ids of its vocabulary. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inference/text/tokenizer.h"
#include "inference/weights/build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct tokenizer *t, const char *text, size_t len, bool parse)
{
    const struct text_span plain = { len / 3, len / 2 };
    const struct encode_options o = {
        .add_special = parse, .parse_special = parse, .plain = &plain, .n_plain = 1, .max_ids = 4096
    };
    struct ids ids = { 0 };
    struct err e = { .code = 0 };

    if (tokenizer_encode(t, text, len, &o, &ids, &e) == 0)
        for (size_t i = 0; i < ids.len; i++) {
            if (ids.data[i] < 0 || (size_t)ids.data[i] >= tokenizer_n_vocab(t))
                abort();
            (void)tokenizer_piece(t, ids.data[i], true);
        }
    else if (!e.code || !e.text[0])
        abort();
    ids_done(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *json = (const char *)data, *nul = memchr(data, 0, size);
    size_t n = nul ? (size_t)(nul - json) : size;
    struct weights *w = NULL;
    struct tokenizer *t = NULL;
    struct err e = { .code = 0 };

    if (weights_new(&w, "fuzz", &e) ||
        weights_put_str(w, "tokenizer.huggingface.json", (struct str){ json, n }, &e) ||
        weights_seal(w, &e))
        abort();
    if (tokenizer_open(&t, w, &e) == 0) {
        if (nul) {
            encode(t, nul + 1, size - n - 1, true);
            encode(t, nul + 1, size - n - 1, false);
        }
    } else if (t || !e.code || !e.text[0]) {
        abort();
    }
    tokenizer_close(t);
    weights_close(w);
    return 0;
}
