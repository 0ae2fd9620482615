#include "kernels/base/json.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "kernels/base/json_scan.h"

/* A text whose tree is smaller than this is parsed whatever is left in the arena. */
enum { FREE_COST_BYTES = 8 << 20 };

static int full(struct err *e)
{
    return err_set(e, ERR_NOMEM, "the JSON text does not fit in the memory set aside for it");
}

static int convert(struct json_object *o, struct arena *a, struct value **out, struct err *e);

static int convert_list(struct json_object *o, struct arena *a, struct value **out, struct err *e)
{
    size_t n = json_object_array_length(o);
    struct value *v = value_list(a);
    int rc;

    if (!v)
        return full(e);
    v->list.items = n ? arena_array(a, n, sizeof *v->list.items) : NULL;
    if (n && !v->list.items)
        return full(e);
    v->list.cap = n;
    for (; v->list.len < n; v->list.len++) {
        rc = convert(json_object_array_get_idx(o, v->list.len), a, &v->list.items[v->list.len], e);
        if (rc)
            return rc;
    }
    *out = v;
    return 0;
}

/* json-c has already thrown out repeated keys, each in its first place with its last value. */
static int convert_map(struct json_object *o, struct arena *a, struct value **out, struct err *e)
{
    size_t n = (size_t)json_object_object_length(o);
    struct json_object_iterator it = json_object_iter_begin(o), end = json_object_iter_end(o);
    struct value *v = value_map(a);
    int rc;

    if (!v)
        return full(e);
    v->map.pairs = n ? arena_array(a, n, sizeof *v->map.pairs) : NULL;
    if (n && !v->map.pairs)
        return full(e);
    v->map.cap = n;
    for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
        const char *key = json_object_iter_peek_name(&it);
        struct value_pair *p = &v->map.pairs[v->map.len];

        p->key_len = strlen(key);
        p->key = arena_strndup(a, key, p->key_len);
        if (!p->key)
            return full(e);
        rc = convert(json_object_iter_peek_value(&it), a, &p->value, e);
        if (rc)
            return rc;
        v->map.len++;
    }
    *out = v;
    return 0;
}

/* Recursion is as deep as the text is nested, which json_scan() has bounded. */
static int convert(struct json_object *o, struct arena *a, struct value **out, struct err *e)
{
    double d;

    *out = NULL;
    switch (json_object_get_type(o)) {
    case json_type_null:
        *out = value_null(a);
        break;
    case json_type_boolean:
        *out = value_bool(a, json_object_get_boolean(o));
        break;
    case json_type_int:
        *out = value_int(a, json_object_get_int64(o));
        break;
    case json_type_double:
        d = json_object_get_double(o);
        if (!isfinite(d))
            return err_set(e, ERR_FORMAT, "JSON: the number %.40s is too large",
                           json_object_get_string(o));
        *out = value_float(a, d);
        break;
    case json_type_string:
        *out = value_string(a, json_object_get_string(o), (size_t)json_object_get_string_len(o));
        break;
    case json_type_array:
        return convert_list(o, a, out, e);
    case json_type_object:
        return convert_map(o, a, out, e);
    }
    return *out ? 0 : full(e);
}

/* The text's tree by json-c, to be freed with json_object_put(); a NULL tree is JSON's null. */
static int tokenise(const char *text, size_t len, int max_depth, struct json_object **out,
                    struct err *e)
{
    struct json_tokener *t = json_tokener_new_ex(max_depth + 2);
    enum json_tokener_error je;
    size_t at;
    int rc = 0;

    *out = NULL;
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory for a JSON parser");
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    errno = 0;
    *out = json_tokener_parse_ex(t, text, (int)len);
    je = json_tokener_get_error(t);
    at = json_tokener_get_parse_end(t);
    if (je == json_tokener_continue) { /* a NUL tells that a number at the very end is complete */
        *out = json_tokener_parse_ex(t, "", 1);
        je = json_tokener_get_error(t);
        at = len;
    }
    if (errno == ENOMEM) /* a success, too, may lack what there was no memory for */
        rc = err_set(e, ERR_NOMEM, "no memory for a JSON text of %zu bytes", len);
    else if (je != json_tokener_success)
        rc = err_set(e, ERR_FORMAT, "JSON, byte %zu: %s", at, json_tokener_error_desc(je));
    json_tokener_free(t);
    return rc;
}

/* json-c does not survive a strdup() without memory, so what it will need, rounded up, is asked for
 * beforehand: all of it has just been free when it is wanted. */
static int is_there_room(size_t bytes, size_t len, struct err *e)
{
    void *p = malloc(bytes + 1);

    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for a JSON text of %zu bytes", len);
    free(p);
    return 0;
}

int json_parse(const char *text, size_t len, int max_depth, struct arena *a, struct value **out,
               struct err *e)
{
    struct json_object *tree = NULL;
    struct json_scan scan;
    size_t allowed = a->limit_bytes - a->used_bytes;
    int rc;

    *out = NULL;
    if (max_depth < 1 || max_depth > JSON_MAX_DEPTH)
        max_depth = JSON_MAX_DEPTH;
    rc = json_scan(&scan, text, len, max_depth, e);
    if (rc)
        goto out;
    if (scan.mended.data) {
        text = scan.mended.data;
        len = scan.mended.len;
    }
    if (scan.cost_bytes > FREE_COST_BYTES && scan.cost_bytes > allowed) {
        rc = full(e);
        goto out;
    }
    if (len > INT_MAX / 2) {
        rc = err_set(e, ERR_LIMIT, "a JSON text of %zu bytes is too long", len);
        goto out;
    }
    rc = is_there_room(scan.cost_bytes, len, e);
    if (rc == 0)
        rc = tokenise(text, len, max_depth, &tree, e);
    if (rc == 0)
        rc = convert(tree, a, out, e);
    if (rc)
        *out = NULL;
out:
    json_object_put(tree);
    buf_done(&scan.mended);
    return rc;
}
