/* Tokenizers: the ids that the reference recorded for seven real vocabularies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/base/json.h"
#include "tests/inference/text/vocabfile.h"

static char *golden(const char *file)
{
    static char path[4096];
    const char *shared = getenv("AIRSTRIP_SHARED"), *srcdir = getenv("srcdir");

    if (shared)
        snprintf(path, sizeof path, "%s/golden/tokenizers/%s", shared, file);
    else
        snprintf(path, sizeof path, "%s/../shared/golden/tokenizers/%s", srcdir ? srcdir : ".",
                 file);
    return path;
}

static struct buf read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct buf b = { 0 };
    char chunk[65536];
    size_t n;

    if (!f)
        fail_msg("cannot read %s", path);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_put(&b, chunk, n);
    fclose(f);
    return b;
}

static struct tokenizer *open_golden(const char *name)
{
    char file[128], path[] = "/tmp/test_tokenizer-XXXXXX", command[8300];
    struct tokenizer *t;

    snprintf(file, sizeof file, "ggml-vocab-%s.gguf", name);
    if (access(golden(file), R_OK) == 0)
        return vf_open_model(golden(file));
    close(mkstemp(path));
    snprintf(command, sizeof command, "xz -dc '%s.xz' >%s", golden(file), path);
    if (system(command) != 0)
        fail_msg("%s failed", command);
    t = vf_open_model(path);
    unlink(path);
    return t;
}

static void same_ids(const char *name, const char *text, const struct ids *found,
                     const struct value *expected)
{
    bool same = found->len == expected->list.len;

    for (size_t i = 0; i < found->len && same; i++)
        same = found->data[i] == expected->list.items[i]->integer;
    if (!same)
        fail_msg("%s: other ids than recorded for '%s'", name, text);
}

static void recorded_cases(const char *name, const struct tokenizer *t)
{
    const struct encode_options plain = { 0 },
                                special = { .add_special = true, .parse_special = true };
    struct arena arena;
    struct value *root, *cases;
    struct buf file;
    struct err e;
    char path[128];

    snprintf(path, sizeof path, "%s.cases.json", name);
    file = read_file(golden(path));
    arena_init(&arena, 0);
    if (json_parse(file.data, file.len, 16, &arena, &root, &e))
        fail_msg("%s", e.text);
    cases = value_get(root, "cases");
    assert_true(cases->list.len > 40);
    for (size_t i = 0; i < cases->list.len; i++) {
        const struct value *c = cases->list.items[i], *text = value_get(c, "text");
        struct ids ids = vf_encode(t, text->string.data, text->string.len, &plain);

        same_ids(name, text->string.data, &ids, value_get(c, "ids"));
        vf_same_text(t, text->string.data, text->string.len, &ids);
        ids_done(&ids);
        ids = vf_encode(t, text->string.data, text->string.len, &special);
        same_ids(name, text->string.data, &ids, value_get(c, "ids_add_special_parse_special"));
        ids_done(&ids);
    }
    arena_done(&arena);
    buf_done(&file);
}

static void recorded_lines(const char *name, const struct tokenizer *t)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    const struct encode_options plain = { 0 };
    struct buf in, out;
    char path[128], *line;
    const char *text, *end;
    size_t n = 0;

    snprintf(path, sizeof path, "ggml-vocab-%s.gguf.inp", name);
    in = read_file(golden(path));
    snprintf(path, sizeof path, "ggml-vocab-%s.gguf.out", name);
    out = read_file(golden(path));
    line = out.data;
    for (text = in.data; text; text = end ? end + strlen(separator) : NULL, n++) {
        size_t len;
        struct ids ids;

        end = strstr(text, separator);
        len = end ? (size_t)(end - text) : strlen(text);
        ids = vf_encode(t, text, len, &plain);
        for (size_t i = 0; i < ids.len; i++)
            if (strtol(line, &line, 10) != ids.data[i])
                fail_msg("%s: other ids than recorded for text %zu", name, n);
        while (*line == ' ')
            line++;
        assert_true(*line == '\n' || *line == '\0'); /* and no more ids */
        line += *line == '\n';
        ids_done(&ids);
    }
    assert_int_equal(n, 47);
    buf_done(&in);
    buf_done(&out);
}

static void recorded(void **state)
{
    static const char *const names[] = { "gpt-2", "llama-spm",    "llama-bpe", "qwen2",
                                         "phi-3", "deepseek-llm", "starcoder" };

    (void)state;
    if (access(golden("index.json"), R_OK) != 0) {
        print_message("no recorded ids at %s\n", golden("index.json"));
        skip();
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tokenizer *t = open_golden(names[i]);

        recorded_lines(names[i], t);
        recorded_cases(names[i], t);
        tokenizer_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(recorded) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
