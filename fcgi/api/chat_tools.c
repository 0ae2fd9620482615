#include "fcgi/api/chat_tools.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "kernels/base/json.h"

enum { MAX_TOOLS = 1024, MAX_NAME = 64, MAX_DEPTH = 64 };

static bool set(struct arena *a, struct value *map, const char *key, struct value *v)
{
    return value_set(a, map, key, strlen(key), v);
}

static const struct value *string_of(const struct value *map, const char *key)
{
    const struct value *v = field_get(map, key);

    return v && v->kind == VALUE_STRING ? v : NULL;
}

static int check_function(const struct value *f, const char *where, struct err *e)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    const struct value *name = string_of(f, "name"), *parameters = field_get(f, "parameters");
    char param[sizeof e->param];

    if (!f || f->kind != VALUE_MAP)
        return field_wrong(e, where, "an object with a name", f);
    snprintf(param, sizeof param, "%.80s.name", where);
    if (!name || !name->string.len || name->string.len > MAX_NAME ||
        strspn(name->string.data, letters) != name->string.len)
        return field_wrong(e, param, "1 to 64 letters, digits, dots, dashes and underscores",
                           field_get(f, "name"));
    snprintf(param, sizeof param, "%.80s.parameters", where);
    if (parameters && parameters->kind != VALUE_MAP)
        return field_wrong(e, param, "a JSON Schema", parameters);
    snprintf(param, sizeof param, "%.80s.description", where);
    if (field_get(f, "description") && !string_of(f, "description"))
        return field_wrong(e, param, "a string", field_get(f, "description"));
    snprintf(param, sizeof param, "%.80s.strict", where);
    if (field_get(f, "strict") && field_get(f, "strict")->kind != VALUE_BOOL)
        return field_wrong(e, param, "true or false", field_get(f, "strict"));
    return 0;
}

static const char at_most[] = "an array of at most 1024 tools";

static int check_functions(const struct value *list, struct err *e)
{
    int rc = 0;

    if (list->kind != VALUE_LIST || list->list.len > MAX_TOOLS)
        return field_wrong(e, "functions", at_most, list);
    for (size_t i = 0; i < list->list.len && !rc; i++) {
        char where[40];

        snprintf(where, sizeof where, "functions[%zu]", i);
        rc = check_function(list->list.items[i], where, e);
    }
    return rc;
}

/* {"type": "function", "function": f} */
static struct value *wrap(struct arena *a, struct value *f)
{
    struct value *tool = value_map(a);

    return tool && set(a, tool, "type", value_string(a, "function", 8)) &&
                   set(a, tool, "function", f)
               ? tool
               : NULL;
}

static const char *tool_name(const struct value *tool)
{
    return string_of(field_get(tool, "function"), "name")->string.data;
}

/* A tool as responses write it: type and the function's members side by side.  NULL: no memory. */
static struct value *unflatten(struct arena *a, const struct value *tool)
{
    static const char *const members[] = { "name", "description", "parameters", "strict" };
    struct value *f = value_map(a);

    for (size_t i = 0; f && i < sizeof members / sizeof *members; i++) {
        struct value *v = value_get(tool, members[i]);

        if (v && v->kind != VALUE_NULL && !set(a, f, members[i], v))
            f = NULL;
    }
    return f ? wrap(a, f) : NULL;
}

static int read_tool(const struct value *tool, size_t i, bool flat, struct err *e)
{
    const struct value *type = field_get(tool, "type");
    char where[40], param[64];

    snprintf(where, sizeof where, "tools[%zu]", i);
    snprintf(param, sizeof param, "%s.type", where);
    if (tool->kind != VALUE_MAP)
        return field_wrong(e, where, "an object", tool);
    if (!type || type->kind != VALUE_STRING)
        return field_wrong(e, param, "\"function\"", type);
    if (strcmp(type->string.data, "function") != 0)
        return err_param(e, param, ERR_UNSUPPORTED,
                         "%s: tools of type \"%.40s\" are not supported, only functions are", param,
                         type->string.data);
    if (flat)
        return check_function(tool, where, e);
    snprintf(param, sizeof param, "%s.function", where);
    return check_function(field_get(tool, "function"), param, e);
}

/* tools, or functions in the same shape. */
static int read_list(struct chat_tools *t, const struct value *body, bool flat, struct arena *a,
                     struct err *e)
{
    const struct value *v = field_get(body, "tools");
    const struct value *f = flat ? NULL : field_get(body, "functions");
    struct value *list = value_list(a);
    int rc = 0;

    t->legacy = !v && f;
    v = v ? v : f;
    if (!v)
        return 0;
    if (v->kind != VALUE_LIST || v->list.len > MAX_TOOLS)
        return field_wrong(e, t->legacy ? "functions" : "tools", at_most, v);
    rc = f ? check_functions(f, e) : 0; /* also where tools go before them */
    for (size_t i = 0; i < v->list.len && !rc; i++) {
        struct value *tool = v->list.items[i];

        rc = t->legacy ? 0 : read_tool(tool, i, flat, e);
        if (!rc && (flat || t->legacy))
            tool = flat ? unflatten(a, tool) : wrap(a, tool);
        if (!rc && (!list || !value_append(a, list, tool)))
            rc = field_no_memory(e);
    }
    if (!rc && v->list.len)
        t->list = list;
    return rc;
}

static struct value *find_tool(const struct chat_tools *t, const char *name)
{
    for (size_t i = 0; t->list && i < t->list->list.len; i++)
        if (!strcmp(tool_name(t->list->list.items[i]), name))
            return t->list->list.items[i];
    return NULL;
}

/* Appends the tool that a choice names: {"name": ..} or {"function": {"name": ..}}. */
static int add_named(const struct chat_tools *t, const struct value *choice, const char *param,
                     struct arena *a, struct value *list, struct err *e)
{
    const struct value *f = field_get(choice, "function");
    const struct value *name = string_of(f ? f : choice, "name");
    struct value *tool;

    if (!name)
        return field_wrong(e, param, "an object that names a function", choice);
    tool = find_tool(t, name->string.data);
    if (!tool)
        return err_param(e, param, ERR_INVALID, "%s: there is no tool called \"%.64s\"", param,
                         name->string.data);
    return list && value_append(a, list, tool) ? 0 : field_no_memory(e);
}

static int read_word(struct chat_tools *t, const char *word, const char *param, struct err *e)
{
    if (!strcmp(word, "none")) {
        t->list = NULL;
        return 0;
    }
    if (!strcmp(word, "auto"))
        return 0;
    if (strcmp(word, "required") != 0)
        return err_param(e, param, ERR_INVALID,
                         "%s: expected none, auto, required or a function, found \"%.40s\"", param,
                         word);
    if (!t->list)
        return err_param(e, param, ERR_INVALID, "%s: \"required\" needs tools, there are none",
                         param);
    t->required = true;
    return 0;
}

/* {"type": "allowed_tools", "allowed_tools": {"mode": "auto" or "required", "tools": [..]}} */
static int read_allowed(struct chat_tools *t, const struct value *choice, struct arena *a,
                        struct err *e)
{
    const struct value *inner = field_get(choice, "allowed_tools");
    const struct value *v = inner ? inner : choice, *mode = string_of(v, "mode");
    const struct value *tools = field_get(v, "tools");
    struct value *list = value_list(a);
    int rc = 0;

    if (!tools || tools->kind != VALUE_LIST)
        return field_wrong(e, "tool_choice.allowed_tools.tools", "an array of tools", tools);
    for (size_t i = 0; i < tools->list.len && !rc; i++)
        rc = add_named(t, tools->list.items[i], "tool_choice.allowed_tools", a, list, e);
    if (rc)
        return rc;
    t->list = tools->list.len ? list : NULL;
    return read_word(t, mode ? mode->string.data : "auto", "tool_choice.allowed_tools.mode", e);
}

static int read_choice(struct chat_tools *t, const struct value *body, struct arena *a,
                       struct err *e)
{
    const char *param = t->legacy ? "function_call" : "tool_choice";
    const struct value *choice = field_get(body, param);
    const struct value *type = t->legacy ? NULL : string_of(choice, "type");
    struct value *list;
    int rc;

    if (!choice)
        return 0;
    if (choice->kind == VALUE_STRING)
        return read_word(t, choice->string.data, param, e);
    if (choice->kind != VALUE_MAP)
        return field_wrong(e, param, "a string or an object", choice);
    if (type && !strcmp(type->string.data, "allowed_tools"))
        return read_allowed(t, choice, a, e);
    if (!t->legacy && (!type || strcmp(type->string.data, "function") != 0))
        return err_param(e, param, ERR_UNSUPPORTED,
                         "tool_choice: only the types \"function\" and \"allowed_tools\" are "
                         "supported");
    list = value_list(a);
    rc = add_named(t, choice, param, a, list, e);
    if (rc)
        return rc;
    t->list = list;
    t->required = t->one_call = true;
    return 0;
}

int chat_tools_read(struct chat_tools *t, const struct value *body, bool flat, struct arena *a,
                    struct err *e)
{
    bool parallel = true;
    int rc;

    *t = (struct chat_tools){ 0 };
    rc = field_bool(body, "parallel_tool_calls", &parallel, e);
    if (!rc)
        rc = read_list(t, body, flat, a, e);
    t->one_call = !parallel || t->legacy;
    return rc ? rc : read_choice(t, body, a, e);
}

/* --- earlier calls --- */

/* Arguments are a string of JSON in the API and an object in templates; what is no JSON stays a
 * string.  NULL: no memory. */
static struct value *arguments(struct arena *a, struct value *v)
{
    struct value *object;
    struct err e;
    int rc;

    if (!v)
        return value_map(a);
    if (v->kind == VALUE_STRING && !v->string.len)
        return value_map(a);
    if (v->kind != VALUE_STRING)
        return v;
    rc = json_parse(v->string.data, v->string.len, MAX_DEPTH, a, &object, &e);
    if (rc == ERR_NOMEM)
        return NULL;
    return rc == 0 && object->kind == VALUE_MAP ? object : v;
}

int chat_tools_add_call(const struct value *f, const struct value *id, const char *where,
                        struct arena *a, struct value *list, struct err *e)
{
    const struct value *name = string_of(f, "name");
    struct value *args = value_get(f, "arguments");
    struct value *to = value_map(a), *function = value_map(a);
    char param[sizeof e->param];

    snprintf(param, sizeof param, "%.80s.name", where);
    if (!name)
        return field_wrong(e, param, "a string", field_get(f, "name"));
    snprintf(param, sizeof param, "%.80s.arguments", where);
    if (args && args->kind == VALUE_NULL)
        args = NULL;
    if (args && args->kind != VALUE_STRING && args->kind != VALUE_MAP)
        return field_wrong(e, param, "JSON as a string", args);
    if (!to || !function || !list ||
        !set(a, function, "name", value_string(a, name->string.data, name->string.len)) ||
        !set(a, function, "arguments", arguments(a, args)) ||
        (id && !set(a, to, "id", value_string(a, id->string.data, id->string.len))) ||
        !set(a, to, "type", value_string(a, "function", 8)) || !set(a, to, "function", function) ||
        !value_append(a, list, to))
        return field_no_memory(e);
    return 0;
}

int chat_tools_set_reasoning(struct value *message, const struct value *text, struct arena *a,
                             struct err *e)
{
    struct value *v = value_string(a, text->string.data, text->string.len);

    return set(a, message, "reasoning_content", v) && set(a, message, "thinking", v)
               ? 0
               : field_no_memory(e);
}

static int read_calls(const struct value *message, const char *where, struct arena *a,
                      struct value *list, struct err *e)
{
    const struct value *calls = field_get(message, "tool_calls");
    const struct value *one = field_get(message, "function_call");
    char param[sizeof e->param];
    int rc = 0;

    snprintf(param, sizeof param, "%.70s.tool_calls", where);
    if (calls && calls->kind != VALUE_LIST)
        return field_wrong(e, param, "an array of calls", calls);
    for (size_t i = 0; calls && i < calls->list.len && !rc; i++) {
        const struct value *call = calls->list.items[i], *id = field_get(call, "id");

        snprintf(param, sizeof param, "%.40s.tool_calls[%zu].id", where, i);
        if (id && id->kind != VALUE_STRING)
            return field_wrong(e, param, "a string", id);
        snprintf(param, sizeof param, "%.40s.tool_calls[%zu].function", where, i);
        rc = chat_tools_add_call(field_get(call, "function"), id, param, a, list, e);
    }
    snprintf(param, sizeof param, "%.70s.function_call", where);
    if (!rc && one) /* where tool_calls go before it, it is only checked */
        rc = chat_tools_add_call(one, NULL, param, a, calls ? value_list(a) : list, e);
    return rc;
}

int chat_tools_history(const struct value *message, const char *where, struct arena *a,
                       struct value *to, struct err *e)
{
    static const char *const names[] = { "reasoning_content", "reasoning" };
    const struct value *reasoning = NULL;
    struct value *list = value_list(a);
    int rc = read_calls(message, where, a, list, e);

    if (rc)
        return rc;
    if (list->list.len && !set(a, to, "tool_calls", list))
        return field_no_memory(e);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct value *v = field_get(message, names[i]);
        char param[sizeof e->param];

        snprintf(param, sizeof param, "%.50s.%s", where, names[i]);
        if (v && v->kind != VALUE_STRING)
            return field_wrong(e, param, "a string", v);
        if (!reasoning)
            reasoning = v;
    }
    return reasoning ? chat_tools_set_reasoning(to, reasoning, a, e) : 0;
}
