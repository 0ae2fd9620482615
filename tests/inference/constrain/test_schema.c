/* JSON Schema: texts that are generated for a schema and texts that never are; what is refused, by
 * name and place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "inference/constrain/constraint.h"
#include "inference/constrain/schema.h"
#include "inference/constrain/spec.h"
#include "kernels/base/json.h"

static struct trie trie;

/* 1 fits, 0 does not, < 0 the error. */
static int fits(const char *schema, const char *text, struct err *e)
{
    struct constraint *c = NULL;
    struct spec spec = { .kind = SPEC_SCHEMA };
    struct grammar g;
    struct arena arena;
    struct value *v;
    int32_t root, at;
    int rc;

    arena_init(&arena, 0);
    assert_int_equal(json_parse(schema, strlen(schema), 100, &arena, &v, e), 0);
    spec.value = v;
    grammar_init(&g, 1000000);
    rc = spec_grammar(&g, &spec, &root, e);
    if (rc == 0)
        rc = constraint_create(&c, &g, root, &trie, e);
    if (rc == 0) {
        at = constraint_accept(c, constraint_start(c), text, strlen(text));
        assert_int_not_equal(at, MATCH_FAILED);
        rc = at >= 0 && constraint_may_end(c, at);
    }
    constraint_free(c);
    grammar_done(&g);
    arena_done(&arena);
    return rc;
}

struct sample {
    const char *schema, *text;
    int fits;
};

static void check(const struct sample *cases, size_t n)
{
    struct err e;

    for (size_t i = 0; i < n; i++) {
        const char *schema = cases[i].schema;
        int got;

        for (size_t k = i; !schema; k--) /* NULL: the one before */
            schema = cases[k].schema;
        got = fits(schema, cases[i].text, &e);
        if (got != cases[i].fits)
            fail_msg("%s on %s: %d %s", schema, cases[i].text, got, got < 0 ? e.text : "");
    }
}

#define CHECK(cases) check(cases, sizeof cases / sizeof *cases)

static void scalars(void **state)
{
    static const struct sample cases[] = {
        { "true", "[1,{\"a\":null}]", 1 },
        { NULL, "1 ", 0 },
        { NULL, "01", 0 },
        { NULL, "{\"a\" :1}", 0 },
        { "{}", "\"\\ud83d\\ude00\"", 1 },
        { NULL, "\"\\ud83d\"", 0 },
        { NULL, "\"\n\"", 0 },
        { NULL, "-12345678901234567", 0 }, /* too many digits */
        { NULL, "1.5e-10", 1 },
        { "{\"type\":\"integer\"}", "-7", 1 },
        { NULL, "7.0", 0 },
        { "{\"type\":[\"null\",\"boolean\"]}", "null", 1 },
        { NULL, "false", 1 },
        { NULL, "0", 0 },
        { "{\"minimum\":-1.5,\"exclusiveMaximum\":10}", "-1.5", 1 },
        { NULL, "-1.50000", 1 },
        { NULL, "-1.5000001", 0 },
        { NULL, "9.99999", 1 },
        { NULL, "10", 0 },
        { NULL, "10.0", 0 },
        { NULL, "-0.3", 1 },
        { NULL, "\"text\"", 0 }, /* the keywords are about numbers */
        { "{\"type\":\"integer\",\"minimum\":8,\"maximum\":120}", "8", 1 },
        { NULL, "7", 0 },
        { NULL, "12", 1 },
        { NULL, "120", 1 },
        { NULL, "121", 0 },
        { NULL, "-8", 0 },
        { "{\"type\":\"integer\",\"minimum\":1.5,\"exclusiveMaximum\":3}", "2", 1 },
        { NULL, "1", 0 },
        { NULL, "3", 0 },
        { "{\"type\":\"integer\",\"maximum\":-2.5}", "-3", 1 },
        { NULL, "-2", 0 },
        { "{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":-20}", "-14", 1 },
        { NULL, "-21", 0 },
        { NULL, "49", 1 },
        { NULL, "50", 0 },
        { NULL, "0", 1 },
        { "{\"type\":\"integer\",\"multipleOf\":0.75}", "3", 1 },
        { NULL, "4", 0 },
        { "{\"type\":\"integer\",\"multipleOf\":123456789,\"minimum\":246913570}", "246913578", 1 },
        { NULL, "246913579", 0 },
        { "{\"minLength\":2,\"maxLength\":3}", "\"\xc3\xa9\xf0\x9f\x98\x80\"", 1 },
        { NULL, "\"\\n\\u0001a\"", 1 },
        { NULL, "\"a\"", 0 },
        { NULL, "\"abcd\"", 0 },
        { "{\"pattern\":\"^a+$\",\"maxLength\":3}", "\"aaa\"", 1 },
        { NULL, "\"aaaa\"", 0 },
        { "{\"pattern\":\"^[a-z ]+$\",\"maxLength\":5000}", "\"a b\"", 1 },
        { NULL, "\"A\"", 0 },
        { "{\"allOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"b$\"},{\"minLength\":3}]}", "\"a b\"",
          1 },
        { NULL, "\"ab\"", 0 },
        { NULL, "\"b a\"", 0 },
        { "{\"format\":\"date\"}", "\"2024-02-29\"", 1 },
        { NULL, "\"2023-02-29\"", 0 },
        { NULL, "\"2000-02-29\"", 1 },
        { NULL, "\"1900-02-29\"", 0 },
        { "{\"format\":\"ipv6\"}", "\"2001:db8::1\"", 1 },
        { NULL, "\"1::2::3\"", 0 },
        { "{\"format\":\"int32\"}", "[]", 1 }, /* an annotation */
    };

    (void)state;
    CHECK(cases);
}

static void long_strings(void **state)
{
    static const char schema[] = "{\"minLength\":300,\"maxLength\":1000}";
    static char text[1100];
    struct err e;

    (void)state;
    for (size_t n = 0; n <= 1004; n += n < 290 || (n > 310 && n < 990) ? 97 : 1) {
        memset(text, 'x', sizeof text);
        text[0] = text[n + 1] = '"';
        text[n + 2] = '\0';
        assert_int_equal(fits(schema, text, &e), n >= 300 && n <= 1000);
    }
}

static void values(void **state)
{
    static const struct sample cases[] = {
        { "{\"enum\":[1,\"a\",null,{\"x\":[1,2.5]}]}", "\"a\"", 1 },
        { NULL, "{\"x\": [1, 2.5]}", 1 },
        { NULL, "2", 0 },
        { "{\"enum\":[1,2,3,\"a\"],\"minimum\":2}", "2", 1 },
        { NULL, "1", 0 },
        { NULL, "\"a\"", 1 },
        { "{\"enum\":[\"a\",\"bc\",5],\"type\":\"string\",\"pattern\":\"^b\"}", "\"bc\"", 1 },
        { NULL, "\"a\"", 0 },
        { NULL, "5", 0 },
        { "{\"const\":\"x\\\"y\"}", "\"x\\\"y\"", 1 },
        { "{\"anyOf\":[{\"const\":1},{\"const\":2}],\"enum\":[2,3]}", "2", 1 },
        { NULL, "3", 0 },
        { NULL, "1", 0 },
    };

    (void)state;
    CHECK(cases);
}

static void objects(void **state)
{
    static const struct sample cases[] = {
        { "{\"type\":\"object\"}", "{\"x\": {}, \"y\": 1}", 1 },
        { "{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"}}}", "{}", 1 },
        { NULL, "{\"a\":null}", 1 },
        { NULL, "{\n  \"a\": null,\n  \"b\": null\n}", 1 },
        { NULL, "{\"b\":null,\"a\":null}", 0 },
        { NULL, "{\"a\":null,\"c\":null}", 0 },
        { NULL, "{\"a\":null,}", 0 },
        { "{\"properties\":{\"a\":true,\"b\":true},\"required\":[\"b\",\"c\"]}",
          "{\"b\":1,\"c\":2}", 1 },
        { NULL, "{\"a\":1,\"c\":2}", 0 },
        { NULL, "{\"b\":1}", 0 },
        { "{\"properties\":{\"ab\":true},\"additionalProperties\":{\"type\":\"integer\"}}",
          "{\"ab\":\"x\",\"abc\":1,\"a\":2}", 1 },
        { NULL, "{\"c\":1,\"ab\":2}", 0 },
        { NULL, "{\"\\u0061b\":1}", 0 },
        { NULL, "{\"c\":\"x\"}", 0 },
        { "{\"patternProperties\":{\"^x-\":{\"type\":\"null\"}},\"properties\":{\"x-a\":{}},"
          "\"additionalProperties\":{\"type\":\"integer\"}}",
          "{\"x-a\":null,\"x-b\":null,\"y\":1}", 1 },
        { NULL, "{\"x-a\":1}", 0 },
        { NULL, "{\"x-b\":1}", 0 },
        { NULL, "{\"y\":null}", 0 },
        { "{\"propertyNames\":{\"maxLength\":2,\"pattern\":\"^a\"}}", "{\"ab\":[]}", 1 },
        { NULL, "{\"abc\":[]}", 0 },
        { NULL, "{\"b\":[]}", 0 },
        { "{\"properties\":{\"a\":true,\"b\":true,\"c\":true},\"minProperties\":2}",
          "{\"a\":1,\"c\":1}", 1 },
        { NULL, "{\"c\":1}", 0 },
        { "{\"properties\":{\"a\":true,\"b\":true,\"c\":true},\"maxProperties\":1}", "{\"b\":1}",
          1 },
        { NULL, "{\"a\":1,\"c\":1}", 0 },
        { "{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":2}", "{}", 0 },
        { NULL, "{\"x\":1,\"y\":2}", 1 },
        { NULL, "{\"x\":1,\"y\":2,\"z\":3}", 0 },
        { "{\"properties\":{\"a\":true,\"b\":true},\"dependentRequired\":{\"a\":[\"b\"]}}",
          "{\"b\":1}", 1 },
        { NULL, "{\"a\":1,\"b\":1}", 1 },
        { NULL, "{\"a\":1}", 0 },
        { "{\"allOf\":[{\"properties\":{\"a\":{\"minimum\":1}}},"
          "{\"properties\":{\"a\":{\"maximum\":2}},\"required\":[\"a\"]}]}",
          "{\"a\":2}", 1 },
        { NULL, "{\"a\":3}", 0 },
        { NULL, "{}", 0 },
    };

    (void)state;
    CHECK(cases);
}

static void arrays(void **state)
{
    static const struct sample cases[] = {
        { "{\"items\":{\"type\":\"null\"},\"minItems\":1,\"maxItems\":3}", "[null, null]", 1 },
        { NULL, "[]", 0 },
        { NULL, "[null,null,null,null]", 0 },
        { NULL, "[null,]", 0 },
        { NULL, "[1]", 0 },
        { "{\"prefixItems\":[{\"const\":1},{\"const\":2}],\"items\":false}", "[1,2]", 1 },
        { NULL, "[1]", 1 },
        { NULL, "[]", 1 },
        { NULL, "[1,2,3]", 0 },
        { NULL, "[2]", 0 },
        { "{\"prefixItems\":[{\"const\":1}],\"items\":{\"const\":0},\"minItems\":3}", "[1,0,0,0]",
          1 },
        { NULL, "[1,0]", 0 },
        { "{\"contains\":{\"const\":5},\"minContains\":2,\"items\":{\"type\":\"integer\"}}",
          "[5,5,1]", 1 },
        { NULL, "[5]", 0 },
        { NULL, "[5,1]", 0 },
        { "{\"type\":\"array\",\"maxItems\":0}", "[]", 1 },
        { NULL, "[1]", 0 },
        { "{\"items\":{\"$ref\":\"#\"}}", "[[],[[]]]", 1 },
        { NULL, "[1]", 0 },
    };

    (void)state;
    CHECK(cases);
}

static void combinations(void **state)
{
    static const struct sample cases[] = {
        { "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}],\"maximum\":5}", "\"x\"", 1 },
        { NULL, "5", 1 },
        { NULL, "6", 0 },
        { "{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "null", 1 },
        { "{\"type\":\"object\",\"oneOf\":["
          "{\"properties\":{\"k\":{\"const\":\"a\"},\"x\":true},\"required\":[\"k\"]},"
          "{\"properties\":{\"k\":{\"const\":\"b\"},\"y\":true},\"required\":[\"k\"]}]}",
          "{\"k\":\"a\",\"x\":1}", 1 },
        { NULL, "{\"k\":\"b\",\"x\":1}", 0 },
        { NULL, "{\"k\":\"b\",\"y\":1}", 1 },
        { "{\"properties\":{\"a\":true,\"b\":true},\"type\":\"object\","
          "\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
          "{\"a\":1}", 1 },
        { NULL, "{\"b\":1}", 1 },
        { NULL, "{\"a\":1,\"b\":1}", 0 },
        { NULL, "{}", 0 },
        { "{\"oneOf\":[{\"type\":\"integer\",\"maximum\":3},{\"type\":\"integer\",\"minimum\":4}]}",
          "3", 1 },
        { "{\"oneOf\":[{\"enum\":[\"any\"]},{\"type\":\"string\",\"pattern\":\"^[0-9]+$\"},"
          "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"array\"}]}]}",
          "\"any\"", 1 },
        { NULL, "\"12\"", 1 },
        { NULL, "[]", 1 },
        { NULL, "\"x\"", 0 },
        { "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":1}}},"
          "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":2}}}]}",
          "{\"k\":2}", 1 },
        { NULL, "{}", 0 },
        { "{\"$ref\":\"#/$defs/a~1b%20c\",\"$defs\":{\"a/b c\":{\"type\":\"null\"}}}", "null", 1 },
        { NULL, "1", 0 },
        { "{\"$defs\":{\"t\":{\"properties\":{\"v\":{\"type\":\"integer\"},"
          "\"c\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},\"required\":[\"v\"]}},"
          "\"$ref\":\"#/$defs/t\"}",
          "{\"v\":1,\"c\":[{\"v\":2,\"c\":[]},{\"v\":3}]}", 1 },
        { NULL, "{\"v\":1,\"c\":[{\"c\":[]}]}", 0 },
        { "{\"$ref\":\"#n\",\"$defs\":{\"x\":{\"$anchor\":\"n\",\"const\":1}}}", "1", 1 },
        { "{\"properties\":{\"a\":true,\"b\":true},\"type\":\"object\","
          "\"not\":{\"required\":[\"a\",\"b\"]}}",
          "{\"b\":1}", 1 },
        { NULL, "{\"a\":1,\"b\":1}", 0 },
    };

    (void)state;
    CHECK(cases);
}

static void opposites(void **state)
{
    static const struct sample cases[] = {
        { "{\"not\":{\"type\":[\"object\",\"array\",\"string\",\"integer\"]}}", "null", 1 },
        { NULL, "1", 0 },
        { NULL, "\"x\"", 0 },
        { "{\"type\":\"string\",\"not\":{\"enum\":[\"a\",\"bc\"]}}", "\"b\"", 1 },
        { NULL, "\"a\"", 0 },
        { NULL, "\"bc\"", 0 },
        { NULL, "\"\\u0061\"", 0 },
        { "{\"type\":\"string\",\"not\":{\"pattern\":\"b\"}}", "\"ac\"", 1 },
        { NULL, "\"abc\"", 0 },
        { "{\"type\":\"integer\",\"not\":{\"enum\":[3,7]}}", "2", 1 },
        { NULL, "8", 1 },
        { NULL, "3", 0 },
        { NULL, "7", 0 },
        { "{\"type\":[\"object\",\"string\"],\"properties\":{\"a\":{},\"b\":{}},"
          "\"not\":{\"required\":[\"a\"]}}",
          "{\"b\":1}", 1 },
        { NULL, "{\"a\":1}", 0 },
        { NULL, "\"x\"", 0 }, /* fits what must not hold: required is about objects */
        { "{\"type\":\"array\",\"not\":{\"items\":{\"type\":\"integer\"}}}", "[null]", 1 },
        { NULL, "[]", 0 },
        { NULL, "[1]", 0 },
        { "{\"type\":\"boolean\",\"not\":{\"const\":true}}", "false", 1 },
        { NULL, "true", 0 },
        { "{\"not\":{\"not\":{\"type\":\"null\"}}}", "null", 1 },
        { NULL, "1", 0 },
        { "{\"type\":\"integer\",\"not\":{\"anyOf\":[{\"minimum\":10},{\"maximum\":5}]}}", "7", 1 },
        { NULL, "5", 0 },
        { NULL, "10", 0 },
        { "{\"oneOf\":[{\"type\":\"string\"},{\"maxLength\":3}]}", "\"abcd\"", 1 },
        { NULL, "\"abc\"", 0 },
        { "{\"type\":\"array\",\"contains\":{\"const\":1},\"maxContains\":1,"
          "\"items\":{\"type\":\"integer\"}}",
          "[1,2]", 1 },
        { NULL, "[1,1]", 0 },
        { NULL, "[2]", 0 },
        { "{\"contains\":{},\"maxContains\":1}", "[0]", 1 },
        { NULL, "[0,0]", 0 },
    };

    (void)state;
    CHECK(cases);
}

static void conditions(void **state)
{
    static const struct sample cases[] = {
        { "{\"properties\":{\"k\":{\"enum\":[1,2]},\"x\":{},\"y\":{}},\"required\":[\"k\"],"
          "\"if\":{\"properties\":{\"k\":{\"const\":1}}},"
          "\"then\":{\"required\":[\"x\"]},\"else\":{\"required\":[\"y\"]}}",
          "{\"k\":1,\"x\":0}", 1 },
        { NULL, "{\"k\":1,\"y\":0}", 0 },
        { NULL, "{\"k\":2,\"y\":0}", 1 },
        { NULL, "{\"k\":2,\"x\":0}", 0 },
        { "{\"type\":\"integer\",\"if\":{\"minimum\":10},\"then\":{\"multipleOf\":5}}", "15", 1 },
        { NULL, "9", 1 },
        { NULL, "11", 0 },
        { "{\"type\":\"integer\",\"if\":{\"const\":1},\"then\":false}", "2", 1 },
        { NULL, "1", 0 },
        { "{\"type\":\"integer\",\"if\":{\"multipleOf\":3},\"else\":false}", "3", 1 },
        { NULL, "4", 0 },
        { "{\"if\":true,\"then\":{\"const\":1},\"else\":{\"const\":2}}", "1", 1 },
        { NULL, "2", 0 },
        { "{\"enum\":[{\"a\":1},{\"a\":2,\"b\":1}],\"dependentRequired\":{\"a\":[\"b\"]}}",
          "{\"a\":2,\"b\":1}", 1 },
        { NULL, "{\"a\":1}", 0 },
        { "{\"enum\":[[1,1],[1,2]],\"not\":{\"contains\":{\"const\":2}}}", "[1,1]", 1 },
        { NULL, "[1,2]", 0 },
    };

    (void)state;
    CHECK(cases);
}

static void unevaluated(void **state)
{
    static const struct sample cases[] = {
        { "{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":{}}}],\"properties\":{\"b\":{}},"
          "\"unevaluatedProperties\":false,\"minProperties\":1}",
          "{\"b\":1}", 1 },
        { NULL, "{\"b\":1,\"a\":1}", 1 },
        { NULL, "{\"c\":1}", 0 },
        { "{\"allOf\":[{\"properties\":{\"a\":{}},\"required\":[\"a\"]},{\"type\":\"object\","
          "\"unevaluatedProperties\":{\"type\":\"null\"}}]}",
          "{\"a\":null}", 1 },
        { NULL, "{\"a\":1}", 0 }, /* a cousin's property is not evaluated */
        { "{\"type\":\"object\",\"anyOf\":[{\"required\":[\"a\"],\"properties\":{\"a\":{}}},"
          "{\"required\":[\"b\"],\"properties\":{\"b\":{}}}],\"unevaluatedProperties\":false}",
          "{\"a\":1}", 1 },
        { NULL, "{\"b\":1}", 1 },
        { NULL, "{\"c\":1}", 0 },
        { "{\"type\":\"object\",\"not\":{\"not\":{\"properties\":{\"a\":{}},\"required\":[\"a\"]}},"
          "\"unevaluatedProperties\":{\"type\":\"null\"}}",
          "{\"a\":null}", 1 },
        { NULL, "{\"a\":1}", 0 }, /* within a not, nothing is evaluated */
        { "{\"type\":\"object\",\"properties\":{\"a\":{}},\"dependentSchemas\":{\"a\":"
          "{\"properties\":{\"b\":{}}}},\"unevaluatedProperties\":false}",
          "{\"a\":1,\"b\":1}", 1 },
        { NULL, "{\"b\":1}", 0 }, /* without a nobody speaks of b */
        { "{\"type\":\"array\",\"allOf\":[{\"prefixItems\":[{\"const\":1}]}],"
          "\"unevaluatedItems\":false}",
          "[1]", 1 },
        { NULL, "[1,1]", 0 },
        { "{\"type\":\"array\",\"contains\":{\"type\":\"null\"},\"unevaluatedItems\":"
          "{\"type\":\"boolean\"}}",
          "[null,true]", 1 },
        { NULL, "[null,1]", 0 },
    };

    (void)state;
    CHECK(cases);
}

static void resources(void **state)
{
    static const struct sample cases[] = {
        { "{\"$id\":\"http://a.example/x/root\",\"$ref\":\"../y?q=1#/$defs/k\",\"$defs\":{\"i\":{"
          "\"$id\":\"/y?q=1\",\"$defs\":{\"k\":{\"$ref\":\"#z\"},\"z\":{\"$anchor\":\"z\","
          "\"const\":1}}},\"z\":{\"$anchor\":\"z\",\"const\":2}}}",
          "1", 1 },
        { NULL, "2", 0 },
        { "{\"$id\":\"urn:example:root\",\"prefixItems\":[{\"$ref\":\"urn:example:other\"},"
          "{\"$ref\":\"#n\"}],\"items\":false,\"minItems\":2,\"$defs\":{\"o\":{\"$id\":"
          "\"urn:example:other\",\"$anchor\":\"n\",\"const\":1},\"n\":{\"$anchor\":\"n\",\"const\":"
          "2}}}",
          "[1,2]", 1 },
        { NULL, "[1,1]", 0 },
        { "{\"$dynamicAnchor\":\"n\",\"type\":\"array\",\"items\":{\"$dynamicRef\":\"#n\"}}",
          "[[],[[]]]", 1 },
        { NULL, "[1]", 0 },
    };

    (void)state;
    CHECK(cases);
}

static void refused(void **state)
{
    static const struct {
        const char *schema;
        int code;
        const char *says;
    } cases[] = {
        { "1", ERR_INVALID, "expected a schema" },
        { "{\"type\":\"any\"}", ERR_INVALID, "#: \"type\" must be" },
        { "{\"properties\":{\"a\":{\"minLength\":\"1\"}}}", ERR_INVALID,
          "#/properties/a: \"minLength\" must be a count" },
        { "{\"items\":{\"uniqueItems\":true}}", ERR_UNSUPPORTED, "#/items: \"uniqueItems\"" },
        { "{\"if\":{\"format\":\"date\"},\"then\":{}}", ERR_UNSUPPORTED, "\"if\"" },
        { "{\"not\":{\"format\":\"date\"}}", ERR_UNSUPPORTED, "#: \"not\"" },
        { "{\"patternProperties\":{\"a\":{},\"(?=b)\":{}}}", ERR_UNSUPPORTED,
          "#: \"patternProperties\"" },
        { "{\"$ref\":\"http://example.com/x\"}", ERR_UNSUPPORTED, "outside" },
        { "{\"$ref\":\"#/nowhere\"}", ERR_INVALID, "does not exist" },
        { "{\"$ref\":\"#\"}", ERR_INVALID, "without end" },
        { "{\"anyOf\":[{\"$ref\":\"#\"},{}]}", ERR_INVALID, "without end" },
        { "{\"$dynamicRef\":\"#a\"}", ERR_INVALID, "#: \"$dynamicRef\" \"#a\" does not exist" },
        { "{\"pattern\":\"(?=a)\"}", ERR_UNSUPPORTED, "look-ahead" },
        { "{\"pattern\":\"(\"}", ERR_INVALID, "\"pattern\"" },
        { "{\"type\":\"number\",\"multipleOf\":0.1}", ERR_UNSUPPORTED, "\"multipleOf\"" },
        { "{\"oneOf\":[{\"format\":\"date\"},{\"format\":\"time\"}]}", ERR_UNSUPPORTED,
          "use anyOf" },
        { "{\"contains\":{\"format\":\"date\"},\"maxContains\":1}", ERR_UNSUPPORTED,
          "\"maxContains\"" },
        { "false", ERR_INVALID, "exclude each other" },
        { "{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}", ERR_INVALID, "exclude" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}",
          ERR_INVALID, "exclude" },
        { "{\"type\":\"object\",\"minProperties\":2}", ERR_UNSUPPORTED, "\"minProperties\"" },
        { "{\"minItems\":100000}", ERR_LIMIT, "\"minItems\"" },
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got = fits(cases[i].schema, "null", &e);

        if (got != cases[i].code || !strstr(e.text, cases[i].says))
            fail_msg("%s: %d %s", cases[i].schema, got, got < 0 ? e.text : "");
    }
}

/* Each reference looks at all ids, which takes more memory than a schema may have: an error, where
 * there was a null pointer. */
static void more_ids_than_memory(void **state)
{
    enum { N = 900 };
    struct buf b = { 0 };
    struct err e = { 0 };

    (void)state;
    buf_puts(&b, "{\"$id\":\"http://x/root\",\"$defs\":{\"none\":true");
    for (int i = 0; i < N; i++)
        buf_printf(&b, ",\"d%d\":{\"$id\":\"http://x/%0200d\",\"type\":\"integer\"}", i, i);
    buf_puts(&b, "},\"type\":\"object\",\"properties\":{\"p\":true");
    for (int i = 0; i < N; i++)
        buf_printf(&b, ",\"p%d\":{\"$ref\":\"#/$defs/d%d\"}", i, i);
    buf_puts(&b, "}}");
    assert_false(b.failed);
    assert_int_equal(fits(b.data, "{}", &e), ERR_NOMEM);
    assert_non_null(strstr(e.text, "memory"));
    buf_done(&b);
}

static int make_trie(void **state)
{
    static const struct trie_token token = { "a", 1 };
    struct err e;

    (void)state;
    return trie_init(&trie, &token, 1, &e);
}

static int free_trie(void **state)
{
    (void)state;
    trie_done(&trie);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars),     cmocka_unit_test(long_strings),
        cmocka_unit_test(values),      cmocka_unit_test(objects),
        cmocka_unit_test(arrays),      cmocka_unit_test(combinations),
        cmocka_unit_test(opposites),   cmocka_unit_test(conditions),
        cmocka_unit_test(unevaluated), cmocka_unit_test(resources),
        cmocka_unit_test(refused),     cmocka_unit_test(more_ids_than_memory),
    };

    return cmocka_run_group_tests(tests, make_trie, free_trie);
}
