#include "tests/inference/text/vocabfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* gguf_metadata_value_type */
enum { GGUF_U32 = 4, GGUF_I32 = 5, GGUF_F32 = 6, GGUF_BOOL = 7, GGUF_STR = 8, GGUF_ARRAY = 9 };

static void put_str(struct buf *b, const char *s, size_t len)
{
    uint64_t n = len;

    buf_put(b, &n, sizeof n);
    buf_put(b, s, len);
}

static void put_key(struct vocabfile *f, const char *key, uint32_t type)
{
    f->n++;
    put_str(&f->pairs, key, strlen(key));
    buf_put(&f->pairs, &type, sizeof type);
}

static void put_array(struct vocabfile *f, const char *key, uint32_t type, uint64_t n)
{
    put_key(f, key, GGUF_ARRAY);
    buf_put(&f->pairs, &type, sizeof type);
    buf_put(&f->pairs, &n, sizeof n);
}

void vf_str(struct vocabfile *f, const char *key, const char *value)
{
    put_key(f, key, GGUF_STR);
    put_str(&f->pairs, value, strlen(value));
}

void vf_u32(struct vocabfile *f, const char *key, uint32_t value)
{
    put_key(f, key, GGUF_U32);
    buf_put(&f->pairs, &value, sizeof value);
}

void vf_bool(struct vocabfile *f, const char *key, bool value)
{
    put_key(f, key, GGUF_BOOL);
    buf_putc(&f->pairs, (char)value);
}

void vf_strs(struct vocabfile *f, const char *key, const struct str *values, size_t n)
{
    put_array(f, key, GGUF_STR, n);
    for (size_t i = 0; i < n; i++)
        put_str(&f->pairs, values[i].data, values[i].len);
}

void vf_i32s(struct vocabfile *f, const char *key, const int32_t *values, size_t n)
{
    put_array(f, key, GGUF_I32, n);
    buf_put(&f->pairs, values, n * sizeof *values);
}

void vf_f32s(struct vocabfile *f, const char *key, const float *values, size_t n)
{
    put_array(f, key, GGUF_F32, n);
    buf_put(&f->pairs, values, n * sizeof *values);
}

int vf_open(struct vocabfile *f, struct tokenizer **out, struct err *e)
{
    static const char head[8] = { 'G', 'G', 'U', 'F', 3, 0, 0, 0 }; /* version 3 */
    static const char padding[64];
    const uint64_t no_tensors = 0;
    char path[] = "/tmp/vocabfile-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "wb");
    struct weights *w;
    int rc;

    *out = NULL;
    if (!file)
        return err_set(e, ERR_IO, "cannot make a temporary file");
    fwrite(head, 1, sizeof head, file);
    fwrite(&no_tensors, 1, sizeof no_tensors, file);
    fwrite(&f->n, 1, sizeof f->n, file);
    fwrite(f->pairs.data, 1, f->pairs.len, file);
    fwrite(padding, 1, sizeof padding, file);
    fclose(file);
    buf_done(&f->pairs);
    *f = (struct vocabfile){ 0 };
    rc = weights_open(&w, path, e);
    unlink(path);
    if (rc)
        return rc;
    rc = tokenizer_open(out, w, e);
    weights_close(w);
    return rc;
}

struct tokenizer *vf_open_model(const char *path)
{
    struct weights *w;
    struct tokenizer *t = NULL;
    struct err e;

    if (weights_open(&w, path, &e) || tokenizer_open(&t, w, &e))
        fail_msg("%s", e.text);
    weights_close(w);
    return t;
}

struct ids vf_encode(const struct tokenizer *t, const char *text, size_t len,
                     const struct encode_options *o)
{
    struct ids ids = { 0 };
    struct err e;

    if (tokenizer_encode(t, text, len, o, &ids, &e))
        fail_msg("%s", e.text);
    return ids;
}

void vf_same_text(const struct tokenizer *t, const char *text, size_t len, const struct ids *ids)
{
    struct buf pieces = { 0 };
    size_t blank = len > 0 && tokenizer_strips_first_blank(t);

    for (size_t i = 0; i < ids->len; i++) {
        struct str p = tokenizer_piece(t, ids->data[i], false);

        buf_put(&pieces, p.data, p.len);
    }
    if (!blank || !strstr(text, "\xe2\x96\x81")) {
        assert_int_equal(pieces.len, len + blank);
        if (len > 0)
            assert_memory_equal(pieces.data + blank, text, len);
    }
    buf_done(&pieces);
}
