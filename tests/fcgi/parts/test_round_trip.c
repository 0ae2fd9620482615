/* Calls as each recorded template writes them, read back: the same calls, whole and cut anywhere,
 * control tokens as text and as such. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/parts/split.h"
#include "inference/text/template.h"
#include "kernels/base/json.h"

/* They write calls of a form that is not read: their calls stay text. */
static const char *const not_read[] = { "MiniMax-M3", "google-gemma-4-31B-it",
                                        "meetkai-functionary-medium-v3.2" };

#define TOOLS                                                                                      \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"description\":"    \
    "\"d\",\"parameters\":{\"type\":"                                                              \
    "\"object\",\"properties\":{\"location\":{\"type\":\"string\",\"description\":\"d\"},"         \
    "\"unit\":{\"type\":\"string\","                                                               \
    "\"description\":\"d\"},\"days\":{\"type\":\"integer\",\"description\":\"d\"}},\"required\":[" \
    "\"location\"]}}},"                                                                            \
    "{\"type\":\"function\",\"function\":{\"name\":\"add\",\"description\":\"d\",\"parameters\":{" \
    "\"type\":\"object\","                                                                         \
    "\"properties\":{\"a\":{\"type\":\"number\",\"description\":\"d\"},\"b\":{\"type\":"           \
    "\"number\",\"description\":\"d\"}},\"required\":[]}}}]"
#define WEATHER "{\"location\":\"Z\xc3\xbcrich \\\"x\\\"\",\"unit\":\"a\\nb\",\"days\":2}"
#define WEATHER_STRING                       \
    "\"{\\\"location\\\":\\\"Z\xc3\xbcrich " \
    "\\\\\\\"x\\\\\\\"\\\",\\\"unit\\\":\\\"a\\\\nb\\\",\\\"days\\\":2}\""
#define CALL(id, name, arguments)                                             \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name \
    "\",\"arguments\":" arguments "}}"
#define USER "{\"role\":\"user\",\"content\":\"x\"}"
#define CHAT(rest) \
    "{\"messages\":[" USER rest "]," TOOLS ",\"documents\":null,\"add_generation_prompt\":"
#define ANSWER(calls) \
    ",{\"role\":\"assistant\",\"content\":\"Let me see.\",\"tool_calls\":[" calls "]}"

static const char asked[] = CHAT("") "true}";
static const char said[] = CHAT(",{\"role\":\"assistant\",\"content\":\"Zq.\"}") "false}";
static const char *const called[] = {
    CHAT(ANSWER(CALL("abcdefg01", "get_weather",
                     WEATHER) "," CALL("abcdefg02", "add", "{\"a\":1.5,\"b\":-2}"))) "false}",
    CHAT(ANSWER(CALL("abcdefg01", "get_weather", WEATHER_STRING) "," CALL(
        "abcdefg02", "add", "\"{\\\"a\\\":1.5,\\\"b\\\":-2}\""))) "false}",
    CHAT(ANSWER(CALL("abcdefg01", "get_weather", WEATHER))) "false}",
};

static char *golden(const char *file)
{
    static char path[4096];
    const char *shared = getenv("AIRSTRIP_SHARED"), *srcdir = getenv("srcdir");

    if (shared)
        snprintf(path, sizeof path, "%s/golden/templates/%s", shared, file);
    else
        snprintf(path, sizeof path, "%s/../shared/golden/templates/%s", srcdir ? srcdir : ".",
                 file);
    return path;
}

static bool read_file(const char *path, struct buf *b)
{
    FILE *f = fopen(path, "rb");
    char chunk[65536];
    size_t n;

    if (!f)
        return false;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_put(b, chunk, n);
    fclose(f);
    return true;
}

static bool render(const struct template *t, const char *json, const struct value *special,
                   struct buf *out)
{
    struct rendering r = { 0 };
    struct value *context;
    struct arena a;
    struct err e;
    bool ok;

    arena_init(&a, 0);
    if (json_parse(json, strlen(json), 30, &a, &context, &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; special && i < special->map.len; i++)
        value_set(&a, context, special->map.pairs[i].key, special->map.pairs[i].key_len,
                  special->map.pairs[i].value);
    ok = !template_render(t, context, 0, NULL, &r, &e);
    if (ok)
        buf_put(out, r.text.data, r.text.len);
    rendering_done(&r);
    arena_done(&a);
    return ok;
}

/* <|...|> and its like as control tokens. */
static void mark_controls(const struct buf *text, struct buf *out)
{
    static const char *const ends[][2] = { { "<|", "|>" },
                                           { "<\xef\xbd\x9ctool", "\xef\xbd\x9c>" },
                                           { "[TOOL_CALLS", "]" },
                                           { "[ARGS", "]" } };

    for (size_t i = 0; i < text->len;) {
        const char *p = text->data + i, *end = NULL;
        size_t k = 0;

        for (; k < 4 && strncmp(p, ends[k][0], strlen(ends[k][0])) != 0; k++)
            ;
        if (k < 4)
            end = strstr(p + strlen(ends[k][0]), ends[k][1]);
        if (end) {
            size_t n = (size_t)(end - p) + strlen(ends[k][1]);

            buf_putc(out, '\xff');
            buf_put(out, p, n);
            buf_putc(out, '\xfe');
            i += n;
        } else {
            buf_putc(out, text->data[i++]);
        }
    }
}

struct found {
    struct buf content, names, arguments[4];
    size_t n;
};

static void collect(struct found *f, struct split *s)
{
    for (size_t i = 0; i < s->n_parts; i++) {
        const struct part *p = &s->parts[i];
        const char *text = s->text.data + p->start;

        if (p->kind == PART_CONTENT)
            buf_put(&f->content, text, p->len);
        if (p->kind == PART_CALL) {
            assert_true(f->n++ < 4);
            buf_put(&f->names, text, p->len);
            buf_putc(&f->names, ' ');
        }
        if (p->kind == PART_ARGUMENTS)
            buf_put(&f->arguments[p->call], text, p->len);
    }
    split_take(s);
}

static void check_member(const char *name, const struct buf *json, const char *key,
                         const char *expected)
{
    struct value *v;
    struct buf text = { 0 };
    struct arena a;
    struct err e;

    arena_init(&a, 0);
    if (json_parse(buf_str(json), json->len, 30, &a, &v, &e))
        fail_msg("%s: arguments %s: %s", name, buf_str(json), e.text);
    if (!value_get(v, key))
        fail_msg("%s: no %s in %s", name, key, buf_str(json));
    json_write(&text, value_get(v, key));
    if (strcmp(buf_str(&text), expected) != 0)
        fail_msg("%s: %s is %s, expected %s", name, key, buf_str(&text), expected);
    buf_done(&text);
    arena_done(&a);
}

static void read_back(const char *name, const struct split_options *o, const char *text, size_t len,
                      unsigned seed, bool two)
{
    struct found f = { 0 };
    const char *said_text;
    struct split s;

    split_init(&s, o);
    for (size_t at = 0; at < len;) {
        size_t n = seed ? 1 + (size_t)rand_r(&seed) % 12 : len;

        n = n < len - at ? n : len - at;
        split_push(&s, text + at, n);
        collect(&f, &s);
        at += n;
    }
    split_finish(&s);
    collect(&f, &s);
    split_done(&s);
    if (strcmp(buf_str(&f.names), two ? "get_weather add " : "get_weather ") != 0)
        fail_msg("%s (%s): called '%s', content '%s' in '%.*s'", name, o->format->name,
                 buf_str(&f.names), buf_str(&f.content), (int)len, text);
    check_member(name, &f.arguments[0], "location", "\"Z\xc3\xbcrich \\\"x\\\"\"");
    check_member(name, &f.arguments[0], "unit", "\"a\\nb\"");
    check_member(name, &f.arguments[0], "days", "2");
    if (two) {
        check_member(name, &f.arguments[1], "a", "1.5");
        check_member(name, &f.arguments[1], "b", "-2");
    }
    /* What ends the turn is a token of its own in truth, which ends the answer. */
    said_text = buf_str(&f.content) + strspn(buf_str(&f.content), "\n");
    if (strcspn(said_text, "<[") &&
        (strcspn(said_text, "<[\n") != 11 || strncmp(said_text, "Let me see.", 11) != 0))
        fail_msg("%s: content '%s'", name, f.content.data);
    buf_done(&f.content);
    buf_done(&f.names);
    for (size_t i = 0; i < 4; i++)
        buf_done(&f.arguments[i]);
}

/* True: it writes calls, and they were read back. */
static bool round_trip(const char *name, const struct buf *source, const struct value *special)
{
    struct buf a = { 0 }, b = { 0 }, c = { 0 }, marked = { 0 };
    struct split_options o = { .format = format_detect(source->data),
                               .thinking = format_thinking(source->data) };
    struct value *context;
    struct arena arena;
    struct template *t;
    struct err e;
    size_t from = 0, end;
    bool writes = false;
    unsigned which = 0;

    if (template_parse(&t, source->data, source->len, &e))
        fail_msg("%s: %s", name, e.text);
    arena_init(&arena, 0);
    if (json_parse(asked, strlen(asked), 30, &arena, &context, &e))
        fail_msg("%s", e.text);
    o.tools = value_get(context, "tools");
    for (; which < 3 && !writes; which++) {
        buf_reset(&b);
        writes = render(t, called[which], special, &b) && strstr(buf_str(&b), "rich") &&
                 !strstr(buf_str(&b), "'location'") && !strstr(buf_str(&b), "\"{\\\"");
    }
    if (writes && render(t, asked, special, &a)) {
        while (from < a.len && from < b.len && a.data[from] == b.data[from])
            from++;
        for (size_t i = from; i-- > 0 && a.data[i] != '>' && a.data[i] != '\n';)
            if (a.data[i] == '<') /* not within a mark */
                from = i;
        end = b.len;
        if (render(t, said, special, &c) && strstr(c.data, "Zq.")) {
            const char *rest = strstr(c.data, "Zq.") + 3;

            if (strlen(rest) <= b.len && !strcmp(b.data + b.len - strlen(rest), rest))
                end -= strlen(rest);
        }
        b.data[b.len = end] = '\0';
        a.data[from] = '\0';
        o.prompt_end = a.data;
        memmove(b.data, b.data + from, b.len - from + 1);
        b.len -= from;
        /* Some templates leave out the reasoning that their prompt begins. */
        if (o.thinking && !strstr(b.data, o.thinking->close))
            o.thinking = NULL;
        mark_controls(&b, &marked);
        for (unsigned seed = 0; seed < 30; seed++) {
            read_back(name, &o, b.data, b.len, seed, strstr(b.data, "1.5"));
            read_back(name, &o, marked.data, marked.len, seed, strstr(b.data, "1.5"));
        }
        print_message("# %s: %s\n", name, o.format->name);
    }
    buf_done(&a);
    buf_done(&b);
    buf_done(&c);
    buf_done(&marked);
    arena_done(&arena);
    template_free(t);
    return writes;
}

static void calls_come_back(void **state)
{
    struct value *cases;
    struct buf json = { 0 };
    struct dirent *d;
    struct arena a;
    struct err e;
    DIR *dir = opendir(golden(""));
    size_t n = 0;

    (void)state;
    if (!dir || !read_file(golden("cases.json"), &json)) {
        skip();
        return;
    }
    arena_init(&a, 0);
    if (json_parse(json.data, json.len, 100, &a, &cases, &e))
        fail_msg("%s", e.text);
    while ((d = readdir(dir))) {
        char name[256];
        struct buf source = { 0 };
        bool skipped = false;
        size_t len = strlen(d->d_name);

        if (len < 6 || len >= sizeof name || strcmp(d->d_name + len - 6, ".jinja") != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)len - 6, d->d_name);
        for (size_t i = 0; i < sizeof not_read / sizeof *not_read; i++)
            skipped |= !strcmp(name, not_read[i]);
        if (skipped || !read_file(golden(d->d_name), &source))
            continue;
        n +=
            round_trip(name, &source,
                       value_get(value_get(value_get(cases, "templates"), name), "special_tokens"));
        buf_done(&source);
    }
    closedir(dir);
    print_message("# %zu templates write calls\n", n);
    assert_true(n >= 20);
    arena_done(&a);
    buf_done(&json);
}

int main(void)
{
    const struct CMUnitTest all[] = { cmocka_unit_test(calls_come_back) };

    return cmocka_run_group_tests(all, NULL, NULL);
}
