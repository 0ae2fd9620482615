#include "fcgi/api/spec_fields.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "kernels/base/json.h"

enum { MAX_SCHEMA_DEPTH = 200 };

/* Takes a spec where there was none before. */
static int put(struct spec *s, const struct spec *found, struct err *e)
{
    if (s->kind != SPEC_NONE)
        return err_param(e, found->param, ERR_INVALID, "%s: not together with %s", found->param,
                         s->param);
    *s = *found;
    return 0;
}

/* A schema: an object or a boolean, or its JSON as a string. */
static int put_schema(struct spec *s, const struct value *v, const char *param, struct arena *a,
                      struct err *e)
{
    struct spec found = { .kind = SPEC_SCHEMA, .value = v, .param = param };
    struct value *parsed = NULL;
    struct err inner;
    int rc;

    if (v && v->kind == VALUE_STRING) {
        rc = json_parse(v->string.data, v->string.len, MAX_SCHEMA_DEPTH, a, &parsed, &inner);
        if (rc == ERR_NOMEM)
            return field_no_memory(e);
        if (rc)
            return err_param(e, param, ERR_INVALID, "%s: not valid JSON: %s", param, inner.text);
        found.value = v = parsed;
    }
    if (!v || (v->kind != VALUE_MAP && v->kind != VALUE_BOOL))
        return field_wrong(e, param, "a JSON Schema", v);
    return put(s, &found, e);
}

static int put_text(struct spec *s, enum spec_kind kind, const struct value *v, const char *param,
                    struct err *e)
{
    struct spec found = { .kind = kind, .param = param };

    if (v->kind != VALUE_STRING)
        return field_wrong(e, param, "a string", v);
    found.text = v->string.data;
    found.len = v->string.len;
    return put(s, &found, e);
}

static int put_choice(struct spec *s, const struct value *v, const char *param, struct err *e)
{
    struct spec found = { .kind = SPEC_CHOICE, .value = v, .param = param };

    if (v->kind != VALUE_LIST || !v->list.len)
        return field_wrong(e, param, "an array of at least one string", v);
    for (size_t i = 0; i < v->list.len; i++)
        if (v->list.items[i]->kind != VALUE_STRING)
            return field_wrong(e, param, "strings only", v->list.items[i]);
    return put(s, &found, e);
}

static int put_object(struct spec *s, const char *param, struct err *e)
{
    const struct spec found = { .kind = SPEC_OBJECT, .param = param };

    return put(s, &found, e);
}

/* A member's name for errors and for what contradicts it: "<param>.<name>", in the arena. */
static const char *inside(const char *param, const char *name, struct arena *a)
{
    char path[64];

    snprintf(path, sizeof path, "%.30s.%.30s", param, name);
    return arena_strndup(a, path, strlen(path));
}

int spec_format_read(struct spec *s, const struct value *format, const char *param, struct arena *a,
                     struct err *e)
{
    const struct value *type = field_get(format, "type");
    const struct value *inner = field_get(format, "json_schema");
    const struct value *schema = field_get(format, "schema");
    const char *here = inside(param, "schema", a);
    const char *within = inside(param, "json_schema", a);
    const char *there = inside(param, "json_schema.schema", a);

    if (!format)
        return 0;
    if (!here || !within || !there)
        return field_no_memory(e);
    if (format->kind != VALUE_MAP || !type || type->kind != VALUE_STRING)
        return field_wrong(e, param, "an object with a type", format);
    if (!strcmp(type->string.data, "text"))
        return 0;
    if (!strcmp(type->string.data, "json_object"))
        return schema ? put_schema(s, schema, here, a, e) : put_object(s, param, e);
    if (strcmp(type->string.data, "json_schema") != 0)
        return err_param(e, param, ERR_UNSUPPORTED,
                         "%s: \"%.40s\" is not supported, expected \"text\", \"json_object\" or "
                         "\"json_schema\"",
                         param, type->string.data);
    if (!inner && schema)
        return put_schema(s, schema, here, a, e);
    if (!inner || inner->kind != VALUE_MAP)
        return field_wrong(e, within, "an object with name and schema", inner);
    schema = field_get(inner, "schema");
    return schema ? put_schema(s, schema, there, a, e) : put_object(s, param, e);
}

enum place { PLACE_JSON, PLACE_REGEX, PLACE_GRAMMAR, PLACE_CHOICE, PLACE_OBJECT, PLACE_REFUSED };

static int put_at(struct spec *s, enum place place, const struct value *v, const char *param,
                  struct arena *a, struct err *e)
{
    switch (place) {
    case PLACE_JSON:
        return put_schema(s, v, param, a, e);
    case PLACE_REGEX:
        return put_text(s, SPEC_REGEX, v, param, e);
    case PLACE_GRAMMAR:
        return put_text(s, SPEC_GBNF, v, param, e);
    case PLACE_CHOICE:
        return put_choice(s, v, param, e);
    case PLACE_OBJECT:
        if (v->kind != VALUE_BOOL)
            return field_wrong(e, param, "a boolean", v);
        return v->boolean ? put_object(s, param, e) : 0;
    case PLACE_REFUSED:
        return err_param(e, param, ERR_UNSUPPORTED, "%s: not supported", param);
    }
    return 0;
}

int spec_fields_read(struct spec *s, const struct value *body, struct arena *a, struct err *e)
{
    static const struct {
        const char *within, *name, *param;
        enum place place;
    } fields[] = {
        { "structured_outputs", "json", "structured_outputs.json", PLACE_JSON },
        { "structured_outputs", "regex", "structured_outputs.regex", PLACE_REGEX },
        { "structured_outputs", "choice", "structured_outputs.choice", PLACE_CHOICE },
        { "structured_outputs", "json_object", "structured_outputs.json_object", PLACE_OBJECT },
        { "structured_outputs", "grammar", "structured_outputs.grammar", PLACE_GRAMMAR },
        { "structured_outputs", "structural_tag", "structured_outputs.structural_tag",
          PLACE_REFUSED },
        { NULL, "guided_grammar", "guided_grammar", PLACE_GRAMMAR },
        { NULL, "grammar", "grammar", PLACE_GRAMMAR },
        { NULL, "guided_json", "guided_json", PLACE_JSON },
        { NULL, "guided_regex", "guided_regex", PLACE_REGEX },
        { NULL, "guided_choice", "guided_choice", PLACE_CHOICE },
        { NULL, "json_schema", "json_schema", PLACE_JSON },
        { NULL, "regex", "regex", PLACE_REGEX },
    };
    const struct value *outputs = field_get(body, "structured_outputs");
    int rc = 0;

    if (outputs && outputs->kind != VALUE_MAP)
        return field_wrong(e, "structured_outputs", "an object", outputs);
    for (size_t i = 0; rc == 0 && i < sizeof fields / sizeof *fields; i++) {
        const struct value *v = field_get(fields[i].within ? outputs : body, fields[i].name);

        if (v)
            rc = put_at(s, fields[i].place, v, fields[i].param, a, e);
    }
    return rc;
}
