#include "tools/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/hf.h"
#include "inference/text/detok.h"
#include "inference/text/tokenizer.h"
#include "kernels/base/json.h"

/* A model's tokenizer, and the file that it came from. */
struct opened {
    struct weights *weights;
    struct tokenizer *tokenizer;
};

static void close_model(struct opened *o)
{
    tokenizer_close(o->tokenizer);
    weights_close(o->weights);
}

static int open_model(struct opened *o, int argc, char **argv, struct err *e)
{
    int rc;

    *o = (struct opened){ 0 };
    if (argc != 2)
        return err_set(e, ERR_INVALID, "expected one argument, the model file; found %d", argc - 1);
    if ((rc = hf_open(&o->weights, argv[1], e)) == 0)
        rc = tokenizer_open(&o->tokenizer, o->weights, e);
    if (rc) {
        close_model(o);
        return rc == ERR_INVALID ? ERR_FORMAT : rc; /* ERR_INVALID is for the arguments */
    }
    return 0;
}

static bool flag(const struct value *line, const char *name)
{
    const struct value *v = value_get(line, name);

    return v && v->kind == VALUE_BOOL && v->boolean;
}

/* {"text": str, "special": bool, "add_special": bool} to {"ids": [...]} */
static int tokenize_line(const struct tokenizer *t, const struct value *line, struct buf *out,
                         struct err *e)
{
    const struct value *text = value_get(line, "text");
    const struct encode_options o = {
        .parse_special = flag(line, "special"),
        .add_special = flag(line, "add_special"),
    };
    struct ids ids = { 0 };
    int rc;

    if (!text || text->kind != VALUE_STRING)
        return err_set(e, ERR_FORMAT, "expected a string called text");
    rc = tokenizer_encode(t, text->string.data, text->string.len, &o, &ids, e);
    if (!rc) {
        buf_puts(out, "{\"ids\":[");
        for (size_t i = 0; i < ids.len; i++)
            buf_printf(out, "%s%d", i ? "," : "", ids.data[i]);
        buf_puts(out, "]}");
    }
    ids_done(&ids);
    return rc;
}

/* {"ids": [...], "special": bool} to {"text": str}.  Without special tokens it is what detok shows;
 * with them the pieces, one after another. */
static int detokenize_line(const struct tokenizer *t, const struct value *line, struct buf *out,
                           struct err *e)
{
    const struct value *ids = value_get(line, "ids");
    bool special = flag(line, "special");
    struct buf text = { 0 };
    struct detok d;

    if (!ids || ids->kind != VALUE_LIST)
        return err_set(e, ERR_FORMAT, "expected a list called ids");
    for (size_t i = 0; i < ids->list.len; i++) {
        const struct value *id = ids->list.items[i];

        if (id->kind != VALUE_INT || id->integer < 0 ||
            (uint64_t)id->integer >= tokenizer_n_vocab(t))
            return err_set(e, ERR_FORMAT, "ids[%zu] is no token id below %zu", i,
                           tokenizer_n_vocab(t));
    }
    detok_init(&d, t, NULL, 0, true);
    for (size_t i = 0; i < ids->list.len; i++) {
        int32_t id = (int32_t)ids->list.items[i]->integer;
        struct str piece = tokenizer_piece(t, id, true);

        if (special)
            buf_put(&text, piece.data, piece.len);
        else
            detok_push(&d, id, &text);
    }
    detok_finish(&d, &text);
    detok_done(&d);
    buf_puts(out, "{\"text\":");
    json_write_string(out, buf_str(&text), text.len);
    buf_puts(out, "}");
    if (text.failed)
        out->failed = true;
    buf_done(&text);
    return 0;
}

/* Answers each line of standard input with one line; what is wrong with a line is its answer. */
static int each_line(int argc, char **argv,
                     int (*answer)(const struct tokenizer *, const struct value *, struct buf *,
                                   struct err *),
                     struct err *e)
{
    struct opened o;
    struct arena arena;
    struct buf out = { 0 };
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc = open_model(&o, argc, argv, e);

    if (rc)
        return rc;
    arena_init(&arena, 0);
    while ((len = getline(&line, &cap, stdin)) >= 0 && !rc) {
        struct value *v = NULL;
        struct err wrong = { .code = 0 };

        if (json_parse(line, (size_t)len, 16, &arena, &v, &wrong) ||
            answer(o.tokenizer, v, &out, &wrong)) {
            buf_reset(&out);
            buf_puts(&out, "{\"error\":");
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
    if (!rc && ferror(stdin))
        rc = err_set(e, ERR_IO, "cannot read from standard input: %s", strerror(errno));
    free(line);
    buf_done(&out);
    close_model(&o);
    return rc;
}

int probe_tokenize(int argc, char **argv, struct err *e)
{
    return each_line(argc, argv, tokenize_line, e);
}

int probe_detokenize(int argc, char **argv, struct err *e)
{
    return each_line(argc, argv, detokenize_line, e);
}
