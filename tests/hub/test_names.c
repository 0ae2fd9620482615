/* Names of models, the choice among a repository's files, and where the cache is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub/cache.h"
#include "hub/name.h"
#include "hub/pick.h"

enum { MAX_FILES = 16 };

static void names(void **state)
{
    static const struct {
        const char *text, *repo, *tag; /* repo NULL: refused */
    } cases[] = {
        { "gpt2", "gpt2", "" },
        { "org/model", "org/model", "" },
        { "org/model:Q4_K_M", "org/model", "Q4_K_M" },
        { "a.b_c-d/E.5-x:f16", "a.b_c-d/E.5-x", "f16" },
        { "", NULL, NULL },
        { ":Q8_0", NULL, NULL },
        { "org/", NULL, NULL },
        { "/model", NULL, NULL },
        { "a/b/c", NULL, NULL },
        { "a/..", NULL, NULL },
        { "./a", NULL, NULL },
        { "a..b", NULL, NULL },
        { "a--b", NULL, NULL },
        { "a-", NULL, NULL },
        { "a/b.git", NULL, NULL },
        { "a/b:", NULL, NULL },
        { "a/b:c/d", NULL, NULL },
        { "a/b:c:d", NULL, NULL },
        { "a b", NULL, NULL },
        { "caf\xc3\xa9", NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hub_name n;
        struct err e = { 0 };
        int rc = hub_name_parse(&n, cases[i].text, &e);

        if (!cases[i].repo) {
            if (rc != ERR_INVALID)
                fail_msg("accepted: %s", cases[i].text);
            continue;
        }
        if (rc)
            fail_msg("%s", e.text);
        assert_string_equal(n.repo, cases[i].repo);
        assert_string_equal(n.tag, cases[i].tag);
    }
}

/* The longest name fits; one letter more in any part is refused. */
static void long_names(void **state)
{
    char text[2 * 97 + HUB_TAG_BYTES + 3];
    struct hub_name n;

    (void)state;
    memset(text, 'a', sizeof text);
    text[96] = '/';
    text[193] = ':';
    text[193 + HUB_TAG_BYTES] = '\0';
    assert_int_equal(hub_name_parse(&n, text, NULL), 0);
    assert_int_equal(strlen(n.repo), 193);
    assert_int_equal(strlen(n.tag), HUB_TAG_BYTES - 1);
    text[193 + HUB_TAG_BYTES] = 'a';
    text[194 + HUB_TAG_BYTES] = '\0';
    assert_int_equal(hub_name_parse(&n, text, NULL), ERR_INVALID);
    text[193] = 'a';
    text[194] = '\0';
    assert_int_equal(hub_name_parse(&n, text, NULL), ERR_INVALID);
}

static void tags(void **state)
{
    static const struct {
        const char *file, *tag;
        bool fits;
    } cases[] = {
        { "x-Q4_K_M.gguf", "Q4_K_M", true },
        { "x-Q4_K_M.gguf", "q4_k_m", true },
        { "x-Q4_K_M.gguf", "Q4_K", false },
        { "x_Q4_K_M.gguf", "Q4_K_M", true },
        { "x.Q4_K_M.gguf", "Q4_K_M", true },
        { "Q4_K_M/x-00001-of-00002.gguf", "Q4_K_M", true },
        { "x-Q4_K_M-00001-of-00002.gguf", "Q4_K_M", true },
        { "x-IQ4_XS.gguf", "Q4_XS", false },
        { "x-BF16.gguf", "F16", false },
        { "x-bf16-F16.gguf", "F16", true },
        { "x-Q8_0.gguf", "x-Q8_0", true },
        { "x-Q8_0.gguf", "x-Q8_0.gguf", true },
        { "dir/Q8.gguf", "Q8", true },
        { "x.gguf", "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (hub_tag_fits(cases[i].file, cases[i].tag) != cases[i].fits)
            fail_msg("%s and %s", cases[i].file, cases[i].tag);
}

static void parts(void **state)
{
    size_t part, n, stem;

    (void)state;
    assert_true(hub_part("d/x-00002-of-00013.gguf", &part, &n, &stem));
    assert_int_equal(part, 2);
    assert_int_equal(n, 13);
    assert_int_equal(stem, 3);
    assert_true(hub_part("model-00001-of-000002.safetensors", &part, &n, &stem));
    assert_false(hub_part("x-00003-of-00002.gguf", &part, &n, &stem));
    assert_false(hub_part("x-00000-of-00002.gguf", &part, &n, &stem));
    assert_false(hub_part("-of-00002.gguf", &part, &n, &stem));
    assert_false(hub_part("1-of-2", &part, &n, &stem));
    assert_false(hub_part("", &part, &n, &stem));
    assert_false(hub_part("x.gguf", &part, &n, &stem));
    assert_int_equal(part, 1);
    assert_int_equal(n, 1);
    assert_int_equal(stem, 1);
}

/* Files that are wanted stand under *; what is opened, or "/" for the folder; NULL: refused. */
static void picks(void **state)
{
    static const struct {
        const char *tag, *first;
        const char *files[MAX_FILES];
    } cases[] = {
        { "",
          "/",
          { "*config.json", "*tokenizer.json", "*model.safetensors", "x.gguf", "README.md",
            "*generation_config.json", "sub/config.json" } },
        { "",
          "/",
          { "*config.json", "*tokenizer.json", "*model.safetensors",
            "*model.safetensors.index.json" } },
        { "",
          "/",
          { "*config.json", "*tokenizer.json", "*model.safetensors.index.json",
            "*model-00001-of-00002.safetensors", "*model-00002-of-00002.safetensors",
            "model.safetensors", "consolidated.safetensors" } },
        { "", "x.gguf", { "config.json", "tokenizer.json", "*x.gguf", "mmproj-x.gguf" } },
        { "", NULL, { "config.json", "model.safetensors" } },
        { "",
          NULL,
          { "config.json", "tokenizer.json", "model.safetensors.index.json",
            "model-00002-of-00002.safetensors" } },
        { "", "x-Q4_K_M.gguf", { "x-Q8_0.gguf", "*x-Q4_K_M.gguf" } },
        { "", NULL, { "x-Q8_0.gguf", "x-Q4_0.gguf" } },
        { "", NULL, { NULL } },
        { "Q8_0",
          "x-Q8_0-00001-of-00002.gguf",
          { "*x-Q8_0-00002-of-00002.gguf", "config.json", "*x-Q8_0-00001-of-00002.gguf",
            "y-Q8_0-00002-of-00002.gguf" } },
        { "Q8_0", NULL, { "x-Q8_0-00001-of-00002.gguf", "x-Q8_0-00002-of-00003.gguf" } },
        { "Q8_0", NULL, { "a-Q8_0.gguf", "b-Q8_0.gguf" } },
        { "Q8_0", "a-Q8_0.gguf", { "*a-Q8_0.gguf", "UD-a-Q8_0.gguf" } },
        { "Q8_0", NULL, { "config.json", "tokenizer.json", "model.safetensors" } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *files[MAX_FILES];
        bool wanted[MAX_FILES];
        size_t n = 0, first;
        struct err e = { 0 };
        int rc;

        for (; cases[i].files[n]; n++)
            files[n] = cases[i].files[n] + (*cases[i].files[n] == '*');
        rc = hub_pick(files, n, cases[i].tag, wanted, &first, &e);
        if (!cases[i].first) {
            assert_int_equal(rc, ERR_NOTFOUND);
            assert_true(*e.text);
            continue;
        }
        if (rc)
            fail_msg("case %zu: %s", i, e.text);
        for (size_t k = 0; k < n; k++)
            if (wanted[k] != (*cases[i].files[k] == '*'))
                fail_msg("case %zu: %s", i, files[k]);
        assert_string_equal(first == HUB_FOLDER ? "/" : files[first], cases[i].first);
    }
}

/* constants.py of huggingface_hub: which variable wins. */
static void cache_folders(void **state)
{
    static const struct {
        const char *name, *value, *cache;
    } steps[] = {
        /* each is set beside the ones before */
        { "HOME", "/h", "/h/.cache/huggingface/hub" },
        { "XDG_CACHE_HOME", "/x", "/x/huggingface/hub" },
        { "HF_HOME", "~/f", "/h/f/hub" },
        { "HUGGINGFACE_HUB_CACHE", "/old", "/old" },
        { "HF_HUB_CACHE", "/new", "/new" },
    };
    struct buf b = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        unsetenv(steps[i].name);
    hub_cache(&b);
    assert_int_equal(b.len, 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        setenv(steps[i].name, steps[i].value, 1);
        buf_reset(&b);
        hub_cache(&b);
        assert_string_equal(buf_str(&b), steps[i].cache);
    }
    buf_reset(&b);
    hub_repo_folder(&b, "org/a-b");
    assert_string_equal(buf_str(&b), "/new/models--org--a-b");
    buf_done(&b);
    setenv("HF_HUB_OFFLINE", "TRUE", 1);
    assert_true(hub_offline());
    setenv("HF_HUB_OFFLINE", "0", 1);
    setenv("TRANSFORMERS_OFFLINE", "1", 1);
    assert_false(hub_offline());
    unsetenv("HF_HUB_OFFLINE");
    assert_true(hub_offline());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names), cmocka_unit_test(long_names), cmocka_unit_test(tags),
        cmocka_unit_test(parts), cmocka_unit_test(picks),      cmocka_unit_test(cache_folders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
