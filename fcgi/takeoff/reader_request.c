#include "fcgi/takeoff/reader_request.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "fcgi/takeoff/readers.h"
#include "kernels/base/log.h"

/* As the manifest's reader has it: a kind, and a text in the arena. */
static int as_text(const struct value *v, struct arena *a, enum takeoff_kind *kind,
                   const char **text, struct err *e)
{
    static const enum takeoff_kind kinds[] = {
        [VALUE_NULL] = KIND_NULL,  [VALUE_BOOL] = KIND_BOOL,   [VALUE_INT] = KIND_INT,
        [VALUE_FLOAT] = KIND_REAL, [VALUE_STRING] = KIND_TEXT, [VALUE_LIST] = KIND_LIST,
        [VALUE_MAP] = KIND_MAP,
    };
    char digits[40] = "";

    *kind = kinds[v->kind];
    if (v->kind == VALUE_STRING) {
        *text = v->string.data;
        return 0;
    }
    if (v->kind == VALUE_BOOL)
        snprintf(digits, sizeof digits, "%s", v->boolean ? "true" : "false");
    else if (v->kind == VALUE_INT)
        snprintf(digits, sizeof digits, "%lld", (long long)v->integer);
    else if (v->kind == VALUE_FLOAT)
        snprintf(digits, sizeof digits, "%g", v->number);
    *text = arena_strndup(a, digits, strlen(digits));
    return *text ? 0 : field_no_memory(e);
}

/* One member into the reader's settings. */
static int take(struct takeoff_reader *r, const struct value_pair *p, struct arena *a,
                struct err *e)
{
    int i = takeoff_setting(p->key), rc;
    enum takeoff_kind kind;
    const char *text;

    if (i < 0 || !(takeoff_settings[i].scope & TAKEOFF_READER))
        return err_set(e, ERR_INVALID, "\"%.60s\" is no setting of a reader", p->key);
    if (p->value->kind == VALUE_STRING && strlen(p->value->string.data) != p->value->string.len)
        return err_param(e, p->key, ERR_INVALID, "%s: expected a text without NUL characters",
                         p->key);
    rc = as_text(p->value, a, &kind, &text, e);
    if (rc)
        return rc;
    rc = takeoff_check_type(&takeoff_settings[i], kind, text, e);
    if (rc) {
        (void)err_prefix(e, "%s: ", p->key);
        snprintf(e->param, sizeof e->param, "%s", p->key);
        return rc;
    }
    r->values[i] = kind == KIND_NULL ? NULL : text;
    return 0;
}

/* Where a key of ours has the setting.  The group and the id are the change's own. */
static void put(struct change *c, struct change_setting *to, int i, const char *text)
{
    const struct takeoff_setting *s = &takeoff_settings[i];
    const struct config_key *k = takeoff_key(s);

    if (!takeoff_harmless(s, text))
        log_msg(LOG_WARN, "reader", "%s %s", s->name, s->note);
    if (!strcmp(s->name, "quantize_cache_bits")) {
        k = config_key("kv_cache_type");
        text = takeoff_cache_type(text);
    }
    if (!k || !k->of_model || !text || !*text)
        return;
    *to = (struct change_setting){ k, text };
    c->n_settings++;
}

int reader_request_read(struct change *c, const struct value *body, struct arena *a, struct err *e)
{
    struct change_setting *settings = arena_array(a, TAKEOFF_MAX_SETTINGS, sizeof *settings);
    struct takeoff_reader r = { .id = "" };
    const char *group, *id;
    int rc = 0;

    *c = (struct change){ .group = "primary", .settings = settings };
    if (!settings)
        return field_no_memory(e);
    for (size_t i = 0; !rc && i < body->map.len; i++)
        rc = take(&r, &body->map.pairs[i], a, e);
    if (!rc)
        rc = takeoff_reader_check(&r, e);
    if (rc)
        return rc;
    for (int i = 0; takeoff_settings[i].name; i++)
        if (r.values[i])
            put(c, &settings[c->n_settings], i, r.values[i]);
    group = takeoff_reader_get(&r, "consumer_group");
    id = takeoff_reader_get(&r, "reader_id");
    if (group && *group)
        c->group = group;
    if (id && *id)
        c->name = id;
    return 0;
}
