/* Any text through the tokenizers of three small models, and its ids through detok.
 * Byte 0: model, options; bytes 1 and 2: a plain span; the rest is the text. */
#include <stdlib.h>
#include <string.h>

#include "inference/text/detok.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tokenizer *tokenizers[3];

static void open_all(void)
{
    static const char *const paths[] = { FUZZ_MODELS "/qwen3-Q8_0.gguf",
                                         FUZZ_MODELS "/llama-Q8_0.gguf",
                                         FUZZ_MODELS "/gemma3_text-Q8_0.gguf" };
    struct weights *w;
    struct err e;

    for (size_t i = 0; i < 3; i++) {
        if (weights_open(&w, paths[i], &e) || tokenizer_open(&tokenizers[i], w, &e))
            abort();
        weights_close(w);
    }
}

static bool touches(const struct text_span *s, size_t at, size_t len)
{
    return s->start < s->end && s->start < at + len && at < s->end;
}

/* Byte-level BPE keeps every byte: the pieces are the text, and no control token touches the span.
 */
static void check_pieces(const struct tokenizer *t, const struct ids *ids, const char *text,
                         size_t len, const struct encode_options *o)
{
    size_t at = 0;

    for (size_t i = 0; i < ids->len; i++) {
        struct str p = tokenizer_piece(t, ids->data[i], true);

        if (p.len > len - at || memcmp(p.data, text + at, p.len) != 0)
            abort();
        if (tokenizer_is_control(t, ids->data[i]) &&
            (!o->parse_special || touches(o->plain, at, p.len)))
            abort();
        at += p.len;
    }
    if (at != len)
        abort();
}

/* Stopped or not, what is shown holds no stop string. */
static void check_detok(const struct tokenizer *t, const struct ids *ids, const char *text,
                        size_t len)
{
    const struct str stops[] = { { text + len / 2, len > 8 ? 3 : 1 }, { "\n\n", 2 } };
    struct buf out = { 0 };
    struct detok d;

    if (len == 0)
        return;
    detok_init(&d, t, stops, 2, false);
    for (size_t i = 0; i < ids->len && !detok_push(&d, ids->data[i], &out); i++)
        ;
    detok_finish(&d, &out);
    for (size_t i = 0; i < 2; i++)
        if (out.len && memmem(out.data, out.len, stops[i].data, stops[i].len))
            abort();
    detok_done(&d);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 3;
    struct text_span span;
    struct encode_options o = { .plain = &span, .n_plain = 1 };
    struct ids ids = { 0 };
    struct err e;
    int which;

    if (!tokenizers[0])
        open_all();
    if (size < 3)
        return 0;
    which = data[0] / 4 % 3;
    o.parse_special = data[0] & 1;
    o.max_ids = data[0] & 2 ? 64 : 0;
    span = (struct text_span){ data[1], (size_t)data[1] + data[2] };
    size -= 3;
    if (tokenizer_encode(tokenizers[which], text, size, &o, &ids, &e)) {
        if (e.code != ERR_LIMIT || !o.max_ids)
            abort();
    } else if (which == 0) {
        check_pieces(tokenizers[0], &ids, text, size, &o);
    }
    check_detok(tokenizers[which], &ids, text, size);
    ids_done(&ids);
    return 0;
}
