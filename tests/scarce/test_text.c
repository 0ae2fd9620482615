/* Templates, tokenizers and grammars while memory runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/constrain/constraint.h"
#include "inference/constrain/grammar.h"
#include "inference/constrain/spec.h"
#include "inference/hf.h"
#include "inference/text/detok.h"
#include "inference/text/template.h"
#include "kernels/base/json.h"
#include "tests/scarce/scarce.h"

/* --- templates --- */

static int run_template(const struct scarce_work *w, struct buf *out, struct err *e)
{
    static const char conversation[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be \\u4f60 brief.\"},{\"role\":\"user\","
        "\"content\":\" <|im_end|>\\n a,b \"},{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"q\":[1,2.5,true]}}}]}],"
        "\"tools\":null,\"add_generation_prompt\":true,\"n\":-7,\"x\":0.1,\"s\":\"ab\",\"l\":"
        "[3,1,2]}";
    struct template *t = NULL;
    struct rendering r = { 0 };
    struct value *context;
    struct arena a;
    int rc;

    arena_init(&a, 0);
    rc = json_parse(conversation, sizeof conversation - 1, 20, &a, &context, e);
    if (rc == 0)
        rc = template_parse(&t, w->text, w->len, e);
    if (rc == 0) {
        rc = template_render(t, context, 1000000000, NULL, &r, e);
        if (rc == 0)
            buf_put(out, r.text.data, r.text.len);
        buf_printf(out, " %zu", rc ? 0 : r.n_plain);
        rendering_done(&r);
        template_free(t);
    }
    arena_done(&a);
    return rc;
}

static void templates(void **state)
{
    static const char text[] =
        "{%- set ns = namespace(i=0, t='') -%}"
        "{% macro show(m, tag='x') %}<{{ tag }}>{{ m.content | default('', true) | trim }}"
        "{{ varargs }}</{{ tag }}>{% endmacro %}"
        "{% for m in messages if m.role != 'none' %}"
        "{%- if loop.first and m['role'] == 'system' %}{% set ns.i = ns.i + 1 %}"
        "{%- elif m.tool_calls is defined and m.tool_calls %}{%- for c in m.tool_calls %}"
        "{{ c.function.name ~ ': ' ~ c.function.arguments | tojson(indent=2) }}{% endfor %}"
        "{%- else %}{{ '<|' + m.role + '|>' + m.content.split(',')[-1].lstrip('\n') }}"
        "{% endif %}{{- show(m, tag='y') }}{{ loop.index0 ~ loop.cycle('a', 'b') }}"
        "{% else %}none{% endfor %}"
        "{% raw %}{{ raw }}{% endraw %}{% set b | upper %}{{ s[::-1] }}"
        "{{ l | sort | map('string') | join(', ') }}{% endset %}{{ b }}"
        "{{ 1 + 2 * 3 // 4 % 5 - 6 ** 2 / 7.5 }} {{ {'a': [1, (2,), none]} }}"
        "{{ '%5d %-3s %.2f' % (n, s, x) }} {{ \"\\x41\\u4f60\\n\" 'b' }}"
        "{{ l | batch(2) | list }}{{ messages | selectattr('role', 'eq', 'user') | first }}"
        "{% for k, v in {'a': 1}.items() recursive %}{{ k }}{{ loop([('b', 2)]) if loop.depth < 3 "
        "}}"
        "{% endfor %}{% with a = 1, b = 2 %}{{ a ~ b }}{% endwith %}"
        "{% filter replace('a', 'b') %}a{% endfilter %}{{ s.center(9, '*') }}{{ s.partition('a') }}"
        "{{ s | indent(2, true) | truncate(3) }}{{ x | round(1) | int }}{{ strftime_now('%Y') }}"
        "{{ dict(a=1, b=2) | dictsort }}{{ range(5, 1, -2) | list }}";

    (void)state;
    scarce_try(&(struct scarce_work){
        .name = "a template", .run = run_template, .text = text, .len = sizeof text - 1 });
}

/* --- tokenizers --- */

static int run_tokenizer(const struct scarce_work *w, struct buf *out, struct err *e)
{
    static const char text[] = "Hello there, f\xc3\xbcr 12345 \xe4\xbd\xa0 <s> it's   fine!\n\n";
    const struct text_span plain = { 3, 8 };
    const struct encode_options o = {
        .add_special = true, .parse_special = true, .plain = &plain, .n_plain = 1
    };
    const struct str stops[] = { { "fine", 4 } };
    struct tokenizer *t = NULL;
    struct weights *model = NULL;
    struct ids ids = { 0 };
    struct detok d;
    int rc = hf_open(&model, w->text, e);

    if (rc == 0)
        rc = tokenizer_open(&t, model, e);
    weights_close(model);
    if (rc == 0)
        rc = tokenizer_encode(t, text, sizeof text - 1, &o, &ids, e);
    if (rc == 0) {
        detok_init(&d, t, stops, 1, false);
        for (size_t i = 0; i < ids.len; i++) {
            buf_printf(out, "%d ", ids.data[i]);
            (void)detok_push(&d, ids.data[i], out);
        }
        detok_finish(&d, out);
        if (out->failed || d.held.failed)
            rc = err_set(e, ERR_NOMEM, "no memory for text");
        detok_done(&d);
    }
    ids_done(&ids);
    tokenizer_close(t);
    return rc;
}

static void tokenizers(void **state)
{
    static const char *const models[] = {
        "data/gguf/llama-Q8_0.gguf", "data/gguf/qwen3-Q8_0.gguf", "data/gguf/gemma3_text-Q8_0.gguf",
        "data/models/phi",           "data/encoders/bert",        "data/encoders/xlm_roberta",
        "data/encoders/roberta",     "data/models/mixtral",
    };
    const char *srcdir = getenv("srcdir");

    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[1000];

        snprintf(path, sizeof path, "%s/tests/%s", srcdir ? srcdir : ".", models[i]);
        scarce_try(&(struct scarce_work){ .name = models[i], .run = run_tokenizer, .text = path });
    }
}

/* --- grammars --- */

static const struct trie_token tokens[] = {
    { "{", 1 },    { "}", 1 },  { "[", 1 },   { "]", 1 },    { "\"", 1 },   { "\":", 2 },
    { ", \"", 3 }, { "a", 1 },  { "abc", 3 }, { "\xc3", 1 }, { "\xa9", 1 }, { "0", 1 },
    { "12", 2 },   { "-", 1 },  { ".5", 2 },  { " ", 1 },    { "\n", 1 },   { "true", 4 },
    { "null", 4 }, { "\\", 1 }, { "n", 1 },   { ":", 1 },    { ",", 1 },    { "x", 1 },
};

enum { N_TOKENS = sizeof tokens / sizeof *tokens, STEPS = 30 };

/* Always the first or the last token that may come, in turn. */
static int generate(struct constraint *c, struct buf *out, struct err *e)
{
    int32_t at = constraint_start(c);
    uint64_t mask;

    for (int i = 0; i < STEPS; i++) {
        int64_t n = constraint_mask(c, at, &mask);
        int token;

        if (n == MATCH_FAILED)
            return err_set(e, ERR_NOMEM, "no memory for a position");
        if (n == 0)
            return 0;
        token = i % 2 ? 63 - __builtin_clzll(mask) : __builtin_ctzll(mask);
        buf_put(out, tokens[token].data, tokens[token].len);
        at = constraint_accept(c, at, tokens[token].data, tokens[token].len);
        if (at == MATCH_FAILED)
            return err_set(e, ERR_NOMEM, "no memory for a position");
        assert_true(at >= 0);
    }
    return 0;
}

static int run_grammar(const struct scarce_work *w, struct buf *out, struct err *e)
{
    struct spec spec = { .kind = SPEC_SCHEMA };
    struct constraint *c = NULL;
    struct trie trie = { 0 };
    struct grammar g;
    struct arena a;
    struct value *v;
    int32_t root;
    int rc = trie_init(&trie, tokens, N_TOKENS, e);

    if (rc == 0)
        rc = trie_slice(&trie, tokens, 4, e);
    arena_init(&a, 0);
    grammar_init(&g, 20000);
    if (w->text[0] == 'r' || w->text[0] == 'g') {
        spec.kind = w->text[0] == 'r' ? SPEC_REGEX : SPEC_GBNF;
        spec.text = w->text + 1;
        spec.len = w->len - 1;
    } else if (rc == 0) {
        rc = json_parse(w->text, w->len, 60, &a, &v, e);
        spec.value = rc ? NULL : v;
    }
    if (rc == 0)
        rc = spec_grammar(&g, &spec, &root, e);
    if (rc == 0)
        rc = constraint_create(&c, &g, root, &trie, e);
    if (rc == 0)
        rc = generate(c, out, e);
    constraint_free(c);
    grammar_done(&g);
    arena_done(&a);
    trie_done(&trie);
    return rc;
}

static void grammars(void **state)
{
    static const char *const texts[] = {
        "groot ::= (expr \"=\" [a-z]{1,3} | \"\\u00e9\\\"\")+ # sums\n"
        "expr ::= [^0-9a-z] .? | \"(\" expr \")\"",
        "r(a|b)*a(?:[a-f\\d]{2,3}|\\w+?)\\u00e9[^x\\s]|x",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":-5,"
        "\"maximum\":12},\"b\":{\"$ref\":\"#\"},\"c\":{\"enum\":[1,\"x\",{\"k\":[null]}]}},"
        "\"required\":[\"a\"],\"patternProperties\":{\"^x\":{\"type\":\"string\",\"pattern\":"
        "\"a+\",\"maxLength\":4}},\"additionalProperties\":{\"format\":\"date\"},"
        "\"minProperties\":1,\"maxProperties\":3}",
        "{\"$id\":\"http://x/a\",\"$defs\":{\"b\":{\"$id\":\"b\",\"$anchor\":\"c\",\"type\":"
        "\"integer\"}},\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"b\"},\"q\":{\"type\":"
        "\"string\",\"not\":{\"enum\":[\"no\"]}}},\"required\":[\"p\",\"q\"],"
        "\"additionalProperties\":false}",
        "{\"anyOf\":[{\"type\":\"array\",\"prefixItems\":[{\"const\":2}],\"items\":{\"type\":"
        "\"number\",\"multipleOf\":3},\"maxItems\":4},{\"allOf\":[{\"type\":\"string\","
        "\"minLength\":2},{\"maxLength\":5}]}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        scarce_try(&(struct scarce_work){
            .name = texts[i], .run = run_grammar, .text = texts[i], .len = strlen(texts[i]) });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates),
        cmocka_unit_test(tokenizers),
        cmocka_unit_test(grammars),
    };

    return cmocka_run_group_tests_name("scarce memory: text", tests, NULL, NULL);
}
