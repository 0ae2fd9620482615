#include <math.h>
#include <string.h>

#include "inference/constrain/formats.h"
#include "inference/constrain/schema_work.h"

enum form {
    FORM_ANY,
    FORM_BOOL,
    FORM_STRING,
    FORM_COUNT,
    FORM_NUMBER,
    FORM_LIMIT, /* a number, or draft 4's boolean */
    FORM_POSITIVE,
    FORM_LIST,
    FORM_STRINGS,
    FORM_SCHEMA,
    FORM_SCHEMAS, /* a list of one at least */
    FORM_ITEMS,   /* a schema, or a list of them as before draft 2020-12 */
    FORM_MAP,     /* of schemas */
    FORM_DEPENDENT,
    FORM_REFUSED,
};

static const struct keyword {
    const char *name;
    enum form form;
    unsigned types;
} KEYWORDS[] = {
    { "type", FORM_ANY, 0 },
    { "enum", FORM_LIST, 0 },
    { "const", FORM_ANY, 0 },
    { "$ref", FORM_STRING, 0 },
    { "allOf", FORM_SCHEMAS, 0 },
    { "anyOf", FORM_SCHEMAS, 0 },
    { "oneOf", FORM_SCHEMAS, 0 },
    { "not", FORM_SCHEMA, 0 },
    { "properties", FORM_MAP, TYPE_OBJECT },
    { "patternProperties", FORM_MAP, TYPE_OBJECT },
    { "additionalProperties", FORM_SCHEMA, TYPE_OBJECT },
    { "propertyNames", FORM_SCHEMA, TYPE_OBJECT },
    { "required", FORM_STRINGS, TYPE_OBJECT },
    { "minProperties", FORM_COUNT, TYPE_OBJECT },
    { "maxProperties", FORM_COUNT, TYPE_OBJECT },
    { "dependentRequired", FORM_DEPENDENT, TYPE_OBJECT },
    { "dependentSchemas", FORM_DEPENDENT, TYPE_OBJECT },
    { "dependencies", FORM_DEPENDENT, TYPE_OBJECT },
    { "items", FORM_ITEMS, TYPE_ARRAY },
    { "additionalItems", FORM_SCHEMA, TYPE_ARRAY },
    { "prefixItems", FORM_SCHEMAS, TYPE_ARRAY },
    { "contains", FORM_SCHEMA, TYPE_ARRAY },
    { "minContains", FORM_COUNT, 0 },
    { "maxContains", FORM_COUNT, 0 },
    { "minItems", FORM_COUNT, TYPE_ARRAY },
    { "maxItems", FORM_COUNT, TYPE_ARRAY },
    { "uniqueItems", FORM_BOOL, TYPE_ARRAY },
    { "minLength", FORM_COUNT, TYPE_STRING },
    { "maxLength", FORM_COUNT, TYPE_STRING },
    { "pattern", FORM_STRING, TYPE_STRING },
    { "format", FORM_STRING, 0 },
    { "minimum", FORM_NUMBER, TYPE_NUMBER },
    { "maximum", FORM_NUMBER, TYPE_NUMBER },
    { "exclusiveMinimum", FORM_LIMIT, TYPE_NUMBER },
    { "exclusiveMaximum", FORM_LIMIT, TYPE_NUMBER },
    { "multipleOf", FORM_POSITIVE, TYPE_NUMBER },
    { "unevaluatedProperties", FORM_SCHEMA, TYPE_OBJECT },
    { "unevaluatedItems", FORM_SCHEMA, TYPE_ARRAY },
    { "if", FORM_SCHEMA, 0 },
    { "then", FORM_SCHEMA, 0 },
    { "else", FORM_SCHEMA, 0 },
    { "$dynamicRef", FORM_STRING, 0 },
    { "$recursiveRef", FORM_REFUSED, 0 },
};

static const struct keyword *find(const char *name)
{
    for (size_t i = 0; i < sizeof KEYWORDS / sizeof *KEYWORDS; i++)
        if (strcmp(KEYWORDS[i].name, name) == 0)
            return &KEYWORDS[i];
    return NULL;
}

enum keyword_holds keyword_holds(const char *name)
{
    const struct keyword *k = find(name);

    if (!strcmp(name, "$defs") || !strcmp(name, "definitions"))
        return HOLDS_MEMBERS;
    switch (k ? k->form : FORM_ANY) {
    case FORM_SCHEMA:
    case FORM_SCHEMAS:
    case FORM_ITEMS:
        return HOLDS_SCHEMA;
    case FORM_MAP:
    case FORM_DEPENDENT:
        return HOLDS_MEMBERS;
    default:
        return HOLDS_NONE;
    }
}

static bool is_schema(const struct value *v)
{
    return v->kind == VALUE_MAP || v->kind == VALUE_BOOL;
}

static bool all_items(const struct value *v, bool (*is)(const struct value *))
{
    if (v->kind != VALUE_LIST)
        return false;
    for (size_t i = 0; i < v->list.len; i++)
        if (!is(v->list.items[i]))
            return false;
    return true;
}

static bool is_string(const struct value *v)
{
    return v->kind == VALUE_STRING;
}

static bool all_members(const struct value *v, bool lists)
{
    if (v->kind != VALUE_MAP)
        return false;
    for (size_t i = 0; i < v->map.len; i++) {
        const struct value *m = v->map.pairs[i].value;

        if (!is_schema(m) && !(lists && all_items(m, is_string)))
            return false;
    }
    return true;
}

static double number_of(const struct value *v)
{
    return v->kind == VALUE_INT ? (double)v->integer : v->kind == VALUE_FLOAT ? v->number : NAN;
}

/* What was expected, or NULL where v is of that form. */
static const char *wrong_form(enum form form, const struct value *v)
{
    double x = number_of(v);

    switch (form) {
    case FORM_ANY:
    case FORM_REFUSED:
        return NULL;
    case FORM_BOOL:
        return v->kind == VALUE_BOOL ? NULL : "a boolean";
    case FORM_STRING:
        return v->kind == VALUE_STRING ? NULL : "a string";
    case FORM_COUNT:
        return x >= 0 && x <= 1e15 && floor(x) >= x ? NULL : "a count";
    case FORM_LIMIT:
    case FORM_NUMBER:
        return isfinite(x) || (form == FORM_LIMIT && v->kind == VALUE_BOOL) ? NULL : "a number";
    case FORM_POSITIVE:
        return isfinite(x) && x > 0 ? NULL : "a number above 0";
    case FORM_LIST:
        return v->kind == VALUE_LIST ? NULL : "an array";
    case FORM_STRINGS:
        return all_items(v, is_string) ? NULL : "an array of strings";
    case FORM_SCHEMA:
        return is_schema(v) ? NULL : "a schema";
    case FORM_SCHEMAS:
        return all_items(v, is_schema) && v->list.len ? NULL : "an array of schemas";
    case FORM_ITEMS:
        return is_schema(v) || all_items(v, is_schema) ? NULL : "a schema";
    case FORM_MAP:
        return all_members(v, false) ? NULL : "an object of schemas";
    case FORM_DEPENDENT:
        return all_members(v, true) ? NULL : "an object of schemas or arrays of strings";
    }
    return NULL;
}

static bool is_true(const struct value *v)
{
    return v->kind == VALUE_BOOL && v->boolean;
}

static int check_one(struct work *w, const struct value *s, const char *name, const struct value *v)
{
    const struct keyword *k = find(name);
    const char *expected;

    if (!k)
        return 0;
    if (k->form == FORM_REFUSED && !is_true(v))
        return work_fail(w, s, name, ERR_UNSUPPORTED, "is not supported");
    expected = wrong_form(k->form, v);
    if (expected)
        return work_fail(w, s, name, ERR_INVALID, "must be %s", expected);
    if (!strcmp(name, "type") && keywords_type(s) == 0)
        return work_fail(w, s, name, ERR_INVALID,
                         "must be null, boolean, integer, number, string, array, object, or an "
                         "array of these");
    if (!strcmp(name, "uniqueItems") && v->boolean &&
        schemas_count(&(struct schemas){ .items = { s }, .n = 1 }, "maxItems", false, 2) > 1)
        return work_fail(w, s, name, ERR_UNSUPPORTED,
                         "is not supported where there may be more than one item");
    return 0;
}

int keywords_check(struct work *w, const struct value *s)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->map.len; i++)
        rc = check_one(w, s, s->map.pairs[i].key, s->map.pairs[i].value);
    return rc;
}

unsigned keywords_types(const struct value *s)
{
    const struct value *format = value_get(s, "format");
    unsigned types = 0;

    for (size_t i = 0; i < s->map.len; i++) {
        const struct keyword *k = find(s->map.pairs[i].key);

        types |= k ? k->types : 0;
    }
    if (format && format->kind == VALUE_STRING && format_pattern(format->string.data))
        types |= TYPE_STRING;
    return types;
}

static unsigned type_bit(const struct value *v)
{
    static const struct {
        const char *name;
        unsigned bits;
    } types[] = { { "null", TYPE_NULL },     { "boolean", TYPE_BOOL },  { "integer", TYPE_INTEGER },
                  { "number", TYPE_NUMBER }, { "string", TYPE_STRING }, { "array", TYPE_ARRAY },
                  { "object", TYPE_OBJECT } };

    for (size_t i = 0; v->kind == VALUE_STRING && i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, v->string.data))
            return types[i].bits;
    return 0;
}

unsigned keywords_type(const struct value *s)
{
    const struct value *t = value_get(s, "type");
    unsigned bits = 0;

    if (!t)
        return TYPE_ALL;
    if (t->kind != VALUE_LIST)
        return type_bit(t);
    for (size_t i = 0; i < t->list.len; i++) {
        unsigned bit = type_bit(t->list.items[i]);

        if (!bit)
            return 0;
        bits |= bit;
    }
    return bits;
}

bool keywords_only_type(const struct value *s)
{
    for (size_t i = 0; i < s->map.len; i++) {
        const char *name = s->map.pairs[i].key;

        if (strcmp(name, "type") != 0 && find(name))
            return false;
    }
    return !value_get(s, "$id") && !schema_own_get(s, SCHEMA_NOT_TEXTS) &&
           !schema_own_get(s, SCHEMA_NOT_PATTERN);
}
