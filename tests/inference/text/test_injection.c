/* A client's text stays text: every recorded template, every recorded tokenizer, every place that a
 * client can fill.
 *
 * The hostile text is made of the tokenizer's own control tokens between two marks.  Wherever the
 * rendering shows it, it lies within a range that is known as the client's; and the ids have the
 * control tokens of what is outside those ranges, no others. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "inference/text/template.h"
#include "kernels/base/json.h"
#include "tests/inference/text/vocabfile.h"

enum { MAX_CONTROLS = 24 };

static char *golden(const char *folder, const char *file)
{
    static char path[4096];
    const char *shared = getenv("AIRSTRIP_SHARED"), *srcdir = getenv("srcdir");

    if (shared)
        snprintf(path, sizeof path, "%s/golden/%s/%s", shared, folder, file);
    else
        snprintf(path, sizeof path, "%s/../shared/golden/%s/%s", srcdir ? srcdir : ".", folder,
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

static struct tokenizer *open_golden(const char *name)
{
    char file[128], path[] = "/tmp/test_injection-XXXXXX", command[8300];
    struct tokenizer *t;

    snprintf(file, sizeof file, "ggml-vocab-%s.gguf", name);
    if (access(golden("tokenizers", file), R_OK) == 0)
        return vf_open_model(golden("tokenizers", file));
    close(mkstemp(path));
    snprintf(command, sizeof command, "xz -dc '%s.xz' >%s", golden("tokenizers", file), path);
    if (system(command) != 0)
        fail_msg("%s failed", command);
    t = vf_open_model(path);
    unlink(path);
    return t;
}

/* QZ <control tokens> ZQ */
static size_t hostile_text(const struct tokenizer *t, struct buf *out)
{
    size_t n = 0;

    buf_puts(out, "QZ");
    for (size_t id = 0; id < tokenizer_n_vocab(t) && n < MAX_CONTROLS; id++) {
        struct str piece = tokenizer_piece(t, (int32_t)id, true);

        /* those of a tokenizer's middle are all alike: reserved */
        if (!tokenizer_is_control(t, (int32_t)id) || !piece.len ||
            memchr(piece.data, '\n', piece.len))
            continue;
        buf_put(out, piece.data, piece.len);
        buf_putc(out, n++ % 2 ? ' ' : 'a');
    }
    buf_puts(out, "ZQ");
    return n;
}

/* A conversation with the text in every place there is. */
static void conversation(struct buf *out, const struct buf *text, bool tools)
{
    struct buf q = { 0 };

    json_write_string(&q, text->data, text->len);
    buf_printf(out, "{\"add_generation_prompt\":true,\"documents\":null,\"messages\":[");
    if (tools)
        buf_printf(out, "{\"role\":\"system\",\"content\":%s},", q.data);
    buf_printf(out, "{\"role\":\"user\",\"content\":%s}", q.data);
    if (tools)
        buf_printf(out,
                   ",{\"role\":\"assistant\",\"content\":%s,\"reasoning_content\":%s,\"tool_"
                   "calls\":[{\"id\":\"abcdefg01\",\"type\":"
                   "\"function\",\"function\":{\"name\":\"f\",\"arguments\":{%s:%s}}}]},{\"role\":"
                   "\"tool\",\"name\":\"f\","
                   "\"tool_call_id\":\"abcdefg01\",\"content\":%s}",
                   q.data, q.data, q.data, q.data, q.data);
    else
        buf_printf(out,
                   ",{\"role\":\"assistant\",\"content\":%s},{\"role\":\"user\",\"content\":%s}",
                   q.data, q.data);
    buf_puts(out, "],\"tools\":");
    if (tools)
        buf_printf(out,
                   "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":%s,"
                   "\"parameters\":{\"type\":\"object\","
                   "\"properties\":{\"a\":{\"type\":\"string\",\"description\":%s,\"enum\":[%s]}},"
                   "\"required\":[\"a\"]}}}]}",
                   q.data, q.data, q.data);
    else
        buf_puts(out, "null}");
    buf_done(&q);
}

static bool within(const struct rendering *r, size_t start, size_t end)
{
    for (size_t i = 0; i < r->n_plain; i++)
        if (r->plain[i].start <= start && end <= r->plain[i].end)
            return true;
    return false;
}

/* The ids' control tokens are those of the text with the client's ranges blotted out. */
static void check_ids(const char *name, const struct tokenizer *t, const struct rendering *r)
{
    struct encode_options o = { .parse_special = true, .plain = r->plain, .n_plain = r->n_plain };
    struct ids ids = vf_encode(t, r->text.data, r->text.len, &o), blotted;
    char *copy = malloc(r->text.len + 1);
    size_t k = 0;

    assert_non_null(copy);
    memcpy(copy, r->text.data, r->text.len);
    for (size_t i = 0; i < r->n_plain; i++)
        memset(copy + r->plain[i].start, 'x', r->plain[i].end - r->plain[i].start);
    o.plain = NULL;
    o.n_plain = 0;
    blotted = vf_encode(t, copy, r->text.len, &o);
    for (size_t i = 0; i < ids.len; i++) {
        if (!tokenizer_is_control(t, ids.data[i]))
            continue;
        while (k < blotted.len && !tokenizer_is_control(t, blotted.data[k]))
            k++;
        if (k == blotted.len || blotted.data[k++] != ids.data[i])
            fail_msg("%s: a client's text became control token %d", name, (int)ids.data[i]);
    }
    while (k < blotted.len)
        assert_false(tokenizer_is_control(t, blotted.data[k++]));
    ids_done(&ids);
    ids_done(&blotted);
    free(copy);
}

/* How often the rendering shows the text; 0 where the template refuses such a conversation. */
static size_t check(const char *name, const struct template *t, const struct tokenizer *tokenizer,
                    const struct buf *text, bool tools)
{
    struct rendering r = { 0 };
    struct buf json = { 0 };
    struct value *context;
    struct arena a;
    struct err e;
    size_t shown = 0;

    arena_init(&a, 0);
    conversation(&json, text, tools);
    if (json_parse(json.data, json.len, 30, &a, &context, &e))
        fail_msg("%s", e.text);
    if (!template_render(t, context, 0, NULL, &r, &e)) {
        for (const char *p = r.text.data; (p = strstr(p, "QZ")); shown++) {
            const char *end = strstr(p, "ZQ");

            if (!end || !within(&r, (size_t)(p - r.text.data), (size_t)(end + 2 - r.text.data)))
                fail_msg("%s: a client's text is taken for the template's: %.80s", name, p);
            p = end;
        }
        check_ids(name, tokenizer, &r);
    }
    rendering_done(&r);
    buf_done(&json);
    arena_done(&a);
    return shown;
}

/* All templates with one tokenizer. */
static size_t check_templates(const struct tokenizer *t)
{
    struct buf text = { 0 };
    struct dirent *d;
    DIR *dir = opendir(golden("templates", ""));
    size_t shown = 0;

    if (!hostile_text(t, &text))
        fail_msg("a tokenizer without control tokens");
    while (dir && (d = readdir(dir))) {
        struct buf source = { 0 };
        struct template *template;
        struct err e;
        size_t len = strlen(d->d_name);

        if (len < 6 || strcmp(d->d_name + len - 6, ".jinja") != 0 ||
            !read_file(golden("templates", d->d_name), &source))
            continue;
        if (template_parse(&template, source.data, source.len, &e))
            fail_msg("%s: %s", d->d_name, e.text);
        shown += check(d->d_name, template, t, &text, false);
        shown += check(d->d_name, template, t, &text, true);
        template_free(template);
        buf_done(&source);
    }
    if (dir)
        closedir(dir);
    buf_done(&text);
    return shown;
}

/* Complaint 9: user text parsed as control tokens. */
static void complaint_9_control_tokens_in_a_clients_text(void **state)
{
    static const char *const names[] = { "qwen2",        "llama-bpe", "phi-3", "llama-spm",
                                         "deepseek-llm", "starcoder", "gpt-2" };

    (void)state;
    if (access(golden("templates", "cases.json"), R_OK)) {
        skip();
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tokenizer *t = open_golden(names[i]);
        size_t shown = check_templates(t);

        print_message("# %s: %zu places\n", names[i], shown);
        assert_true(shown > 200);
        tokenizer_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest all[] = { cmocka_unit_test(
        complaint_9_control_tokens_in_a_clients_text) };

    return cmocka_run_group_tests(all, NULL, NULL);
}
