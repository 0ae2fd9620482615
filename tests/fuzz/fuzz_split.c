/* Any bytes as an answer in any format: the first byte picks the format, the second how the answer
 * is cut and what else is asked for.  The parts must be those of the uncut answer, and calls come
 * in order, each before its arguments. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/parts/split.h"
#include "kernels/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tools_json[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":"
    "{\"type\":\"string\"},\"b\":{\"type\":\"integer\"}}}}}]";

static struct value *tools(void)
{
    static struct value *v;
    static struct arena a;
    struct err e;

    if (!v) {
        arena_init(&a, 0);
        if (json_parse(tools_json, strlen(tools_json), 20, &a, &v, &e))
            abort();
    }
    return v;
}

static void add(struct buf *out, int *last, size_t *calls, struct split *s)
{
    for (size_t i = 0; i < s->n_parts; i++) {
        const struct part *p = &s->parts[i];

        if (p->start + p->len > s->text.len)
            abort();
        if (p->kind == PART_CALL ? p->call != (*calls)++
                                 : p->kind == PART_ARGUMENTS && p->call + 1 != *calls)
            abort();
        if ((int)p->kind != *last || p->kind == PART_CALL)
            buf_printf(out, "\n%d %zu ", p->kind, p->call);
        *last = (int)p->kind;
        buf_put(out, s->text.data + p->start, p->len);
    }
    split_take(s);
}

static void run(const struct split_options *o, const char *text, size_t len, size_t cut,
                struct buf *out)
{
    struct split s;
    size_t calls = 0;
    int last = -1;

    split_init(&s, o);
    for (size_t at = 0; at < len; at += cut) {
        split_push(&s, text + at, cut < len - at ? cut : len - at);
        add(out, &last, &calls, &s);
    }
    split_finish(&s);
    add(out, &last, &calls, &s);
    split_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct thinking marks[] = { { "<think>", "</think>" },
                                             { "<|START_THINKING|>", "<|END_THINKING|>" } };
    struct split_options o = { .thinking = &marks[0], .tools = tools() };
    struct buf whole = { 0 }, cut = { 0 };
    size_t n = 0;

    if (size < 2)
        return 0;
    while (formats[n].name)
        n++;
    o.format = data[0] % (n + 1) == n ? NULL : &formats[data[0] % (n + 1)];
    o.prompt_end = data[1] & 128 ? "<think>\n" : NULL;
    o.only_calls = o.format && o.format->body == BODY_OBJECTS && (data[1] & 64);
    o.reasoning_is_content = data[1] & 32;
    if (data[1] & 16)
        o.thinking = data[1] & 32 ? NULL : &marks[1];
    run(&o, (const char *)data + 2, size - 2, size, &whole);
    run(&o, (const char *)data + 2, size - 2, 1 + data[1] % 16, &cut);
    if (whole.len != cut.len || (whole.len && memcmp(whole.data, cut.data, whole.len) != 0))
        abort();
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
