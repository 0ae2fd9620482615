/* probe_embed.c - `airstrip-probe embed MODEL`: the vector of a text, for comparison with others.
 *
 * One JSON request a line on stdin, one answer a line on stdout:
 *   {"text": "..."} or {"ids": [...]}   -> {"vector": [n_embd numbers], "tokens": n}
 *   anything wrong                      -> {"error": "..."}
 * AIRSTRIP_ISA picks the instruction set, AIRSTRIP_POOLING how the vector is made. */
#include "tools/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "inference/engine.h"
#include "kernels/base/json.h"
#include "kernels/base/log.h"

enum { WAIT_MS = 600000 };

static int read_request(const struct value *v, struct arena *a, struct job_request *r,
                        struct err *e)
{
    const struct value *text = value_get(v, "text"), *ids = value_get(v, "ids");
    int32_t *out;

    *r = (struct job_request){ .kind = PROMPT_TEXT, .embed = true };
    if (text && text->kind == VALUE_STRING) {
        r->text = text->string.data;
        r->text_len = text->string.len;
        return 0;
    }
    if (!ids || ids->kind != VALUE_LIST)
        return err_set(e, ERR_INVALID, "expected a text, or ids");
    out = arena_array(a, ids->list.len + 1, sizeof *out);
    if (!out)
        return err_set(e, ERR_NOMEM, "no memory for %zu ids", ids->list.len);
    for (size_t i = 0; i < ids->list.len; i++)
        out[i] = ids->list.items[i]->kind == VALUE_INT ? (int32_t)ids->list.items[i]->integer : -1;
    r->kind = PROMPT_IDS;
    r->ids = out;
    r->n_ids = ids->list.len;
    return 0;
}

static void print(const struct event *ev)
{
    printf("{\"vector\":[");
    for (size_t i = 0; i < ev->n_vector; i++)
        if (isfinite(ev->vector[i]))
            printf(i ? ",%.9g" : "%.9g", (double)ev->vector[i]);
        else
            printf(i ? ",null" : "null");
    printf("],\"tokens\":%zu}\n", ev->usage.prompt_tokens);
}

/* Waits for the vector; ERR_* where there comes none. */
static int follow(struct inbox *in, struct err *e)
{
    struct event ev;

    while (inbox_wait(in, WAIT_MS, &ev)) {
        enum event_kind kind = ev.kind;
        int rc = kind == EVENT_FAILED ? ev.err.code : 0;

        if (kind == EVENT_DONE)
            print(&ev);
        if (kind == EVENT_FAILED)
            *e = ev.err;
        event_done(&ev);
        if (kind == EVENT_DONE || kind == EVENT_FAILED)
            return rc;
    }
    return err_set(e, ERR_INTERNAL, "no answer came");
}

static void answer_line(struct engine *g, struct inbox *in, const char *line, size_t len)
{
    struct arena a;
    struct value *v = NULL;
    struct job_request r;
    struct job *j = NULL;
    struct err e = { 0 };
    struct buf out = { 0 };
    int rc;

    arena_init(&a, 0);
    if ((rc = json_parse(line, len, 16, &a, &v, &e)) == 0 &&
        (rc = read_request(v, &a, &r, &e)) == 0 && (rc = engine_submit(g, &r, in, 0, &j, &e)) == 0)
        rc = follow(in, &e);
    if (rc) {
        json_write_string(&out, e.text, strlen(e.text));
        printf("{\"error\":%s}\n", buf_str(&out));
        buf_done(&out);
    }
    fflush(stdout);
    job_free(j);
    arena_done(&a);
}

/* Until it is loaded. */
static int await(struct engine *g, struct err *e)
{
    static const struct timespec tick = { .tv_nsec = 1000000 };
    struct engine_status s;

    for (engine_status(g, &s); s.state == ENGINE_LOADING; engine_status(g, &s))
        nanosleep(&tick, NULL);
    if (s.state != ENGINE_FAILED)
        return 0;
    *e = s.failure;
    return e->code;
}

int probe_embed(int argc, char **argv, struct err *e)
{
    struct engine_config c = { .name = "probe", .device = "cpu" };
    struct engine *g = NULL;
    struct inbox *in = NULL;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc;

    if (argc != 2)
        return err_set(e, ERR_INVALID, "one argument is needed: a model file");
    log_set_level(LOG_ERROR);
    c.model_path = argv[1];
    c.isa = getenv("AIRSTRIP_ISA");
    c.pooling = getenv("AIRSTRIP_POOLING");
    if ((rc = engine_open(&g, &c, e)) == 0 && (rc = await(g, e)) == 0 &&
        (rc = inbox_create(&in, e)) == 0)
        while ((len = getline(&line, &cap, stdin)) > 0)
            answer_line(g, in, line, (size_t)len);
    free(line);
    inbox_free(in);
    engine_close(g);
    return rc;
}
