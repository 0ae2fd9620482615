#include "tools/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/text/template.h"
#include "kernels/base/json.h"

enum { MAX_DEPTH = 200, MAX_CONTEXT_BYTES = 256 << 20 };

/* The request's clock: "YYYY-MM-DDTHH:MM:SS" in local time, or seconds since 1970, or the real one.
 */
static int read_now(const struct value *v, time_t *out, struct err *e)
{
    struct tm tm = { .tm_isdst = -1 };
    const char *end;

    *out = time(NULL);
    if (!v)
        return 0;
    if (v->kind == VALUE_INT) {
        *out = (time_t)v->integer;
        return 0;
    }
    end = v->kind == VALUE_STRING ? strptime(v->string.data, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    if (!end || *end)
        return err_set(e, ERR_FORMAT, "now must be YYYY-MM-DDTHH:MM:SS or a number of seconds");
    *out = mktime(&tm);
    return 0;
}

static void write_rendering(struct buf *out, const struct rendering *r)
{
    buf_puts(out, "{\"text\":");
    json_write_string(out, buf_str(&r->text), r->text.len);
    buf_puts(out, ",\"plain\":[");
    for (size_t i = 0; i < r->n_plain; i++)
        buf_printf(out, "%s[%zu,%zu]", i ? "," : "", r->plain[i].start, r->plain[i].end);
    buf_puts(out, "]}");
}

/* {"template": str, "context": object, "now": str or int} to {"text": str, "plain": [[start, end],
 * ...]} */
static int render_line(const struct value *line, struct buf *out, struct err *e)
{
    const struct value *source = value_get(line, "template"), *context = value_get(line, "context");
    struct rendering rendering = { 0 };
    struct template *t = NULL;
    time_t now;
    int rc;

    if (!source || source->kind != VALUE_STRING)
        return err_set(e, ERR_FORMAT, "expected a string called template");
    if (!context || context->kind != VALUE_MAP)
        return err_set(e, ERR_FORMAT, "expected an object called context");
    rc = read_now(value_get(line, "now"), &now, e);
    if (rc == 0)
        rc = template_parse(&t, source->string.data, source->string.len, e);
    if (rc == 0)
        rc = template_render(t, context, now, NULL, &rendering, e);
    if (rc == 0)
        write_rendering(out, &rendering);
    rendering_done(&rendering);
    template_free(t);
    return rc;
}

int probe_render(int argc, char **argv, struct err *e)
{
    struct buf out = { 0 };
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc = 0;

    (void)argv;
    if (argc != 1)
        return err_set(e, ERR_INVALID, "expected no argument, found %d", argc - 1);
    while (rc == 0 && (len = getline(&line, &cap, stdin)) >= 0) {
        struct err why = { 0 };
        struct arena a;
        struct value *v;
        int failed;

        arena_init(&a, MAX_CONTEXT_BYTES);
        failed = json_parse(line, (size_t)len, MAX_DEPTH, &a, &v, &why);
        if (!failed)
            failed = render_line(v, &out, &why);
        if (failed) {
            buf_reset(&out);
            buf_puts(&out, "{\"error\":");
            json_write_string(&out, why.text, strlen(why.text));
            buf_puts(&out, "}");
        }
        buf_putc(&out, '\n');
        if (out.failed)
            rc = err_set(e, ERR_NOMEM, "no memory for an answer");
        else
            fwrite(out.data, 1, out.len, stdout);
        fflush(stdout);
        buf_reset(&out);
        arena_done(&a);
    }
    if (rc == 0 && ferror(stdin))
        rc = err_set(e, ERR_IO, "cannot read standard input: %s", strerror(errno));
    free(line);
    buf_done(&out);
    return rc;
}
