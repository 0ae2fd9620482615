/* From the tree to readers, each value at its setting's number. */
#include "fcgi/takeoff/manifest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "fcgi/takeoff/ytree.h"

enum { PLACE_MAX_BYTES = 200 };

/* Where in the manifest we are, for messages: "takeoff.readers_config.reader1". */
struct place {
    const char *file;
    char text[PLACE_MAX_BYTES];
};

static struct place below(const struct place *p, const char *key)
{
    struct place q = { .file = p->file };

    snprintf(q.text, sizeof q.text, "%.120s%s%.60s", p->text, *p->text ? "." : "", key);
    return q;
}

/* Puts file, line, column and place in front of what was said. */
static int at(const struct place *p, size_t line, size_t column, struct err *e)
{
    return err_prefix(e, "%s:%zu:%zu: %s: ", p->file, line, column, p->text);
}

static int expected_map(const struct place *p, const struct ytree *n, const char *what,
                        struct err *e)
{
    static const char *const found[] = {
        [KIND_NULL] = "nothing",  [KIND_BOOL] = "true or false", [KIND_INT] = "a number",
        [KIND_REAL] = "a number", [KIND_TEXT] = "a text",        [KIND_LIST] = "a list",
    };

    err_set(e, ERR_INVALID, "expected %s, found %s", what, found[n->kind]);
    return at(p, n->line, n->column, e);
}

static const struct ytree *get(const struct ytree *map, const char *key)
{
    for (size_t i = 0; i < map->n; i++)
        if (!strcmp(map->pairs[i].key, key))
            return map->pairs[i].value;
    return NULL;
}

/* Fills values from a map of settings of that scope. */
static int read_settings(struct takeoff *t, const struct place *p, const struct ytree *map,
                         unsigned scope, const char **values, struct arena *a, struct err *e)
{
    for (size_t i = 0; i < map->n; i++) {
        const struct ytree_pair *pair = &map->pairs[i];
        struct place q = below(p, pair->key);
        int s = takeoff_setting(pair->key);
        bool text;

        if (s < 0 || !(takeoff_settings[s].scope & scope)) {
            takeoff_note(t, a, "%.120s is not known, and has no effect", q.text);
            continue;
        }
        text = takeoff_settings[s].type == TAKEOFF_TEXT;
        if (takeoff_check_type(&takeoff_settings[s], pair->value->kind, pair->value->value, e))
            return at(&q, pair->value->line, pair->value->column, e);
        if (pair->value->kind != KIND_NULL)
            values[s] = text ? pair->value->text : pair->value->value;
    }
    return 0;
}

static int read_reader(struct takeoff *t, const struct place *p, const struct ytree_pair *pair,
                       struct arena *a, struct err *e)
{
    struct takeoff_reader *r = &t->readers[t->n_readers++];
    const struct ytree *map = pair->value;
    const char *group;
    int rc;

    r->id = pair->key;
    if (map->kind != KIND_MAP)
        return expected_map(p, map, "a reader's settings", e);
    rc = read_settings(t, p, map, TAKEOFF_READER, r->values, a, e);
    if (rc)
        return rc;
    group = takeoff_reader_get(r, "consumer_group");
    rc = takeoff_reader_check(r, e);
    if (!rc && !group)
        rc = err_param(e, "consumer_group", ERR_INVALID, "missing field consumer_group");
    else if (!rc && !*group)
        rc = err_param(e, "consumer_group", ERR_INVALID,
                       "consumer_group: expected a name, found an empty text");
    return rc ? at(p, map->line, map->column, e) : 0;
}

static int read_readers(struct takeoff *t, const struct place *p, const struct ytree *n,
                        struct arena *a, struct err *e)
{
    if (n->kind == KIND_NULL)
        return 0;
    if (n->kind != KIND_MAP)
        return expected_map(p, n, "a map of readers", e);
    if (n->n > TAKEOFF_MAX_READERS) {
        err_set(e, ERR_LIMIT, "expected at most %d readers, found %zu", TAKEOFF_MAX_READERS, n->n);
        return at(p, n->line, n->column, e);
    }
    t->readers = arena_array(a, n->n ? n->n : 1, sizeof *t->readers);
    if (!t->readers)
        return err_set(e, ERR_NOMEM, "no memory for %s", p->file);
    for (size_t i = 0; i < n->n; i++) {
        struct place q = below(p, n->pairs[i].key);
        int rc = read_reader(t, &q, &n->pairs[i], a, e);

        if (rc)
            return rc;
    }
    return 0;
}

static int read_takeoff(struct takeoff *t, const struct place *p, const struct ytree *n,
                        struct arena *a, struct err *e)
{
    static const char *const parts[] = { "server_config", "readers_config" };
    const struct ytree *part[2];
    struct place q;
    int rc;

    if (n->kind != KIND_MAP)
        return expected_map(p, n, "server_config and readers_config", e);
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->pairs[i].key, parts[0]) && strcmp(n->pairs[i].key, parts[1]))
            takeoff_note(t, a, "%s.%.80s is not known, and has no effect", p->text,
                         n->pairs[i].key);
    for (size_t i = 0; i < 2; i++) {
        part[i] = get(n, parts[i]);
        if (!part[i]) {
            err_set(e, ERR_INVALID, "missing field %s", parts[i]);
            return at(p, n->line, n->column, e);
        }
    }
    q = below(p, parts[0]);
    if (part[0]->kind == KIND_MAP)
        rc = read_settings(t, &q, part[0], TAKEOFF_SERVER, t->server, a, e);
    else
        rc = part[0]->kind == KIND_NULL ? 0 : expected_map(&q, part[0], "a map of settings", e);
    q = below(p, parts[1]);
    return rc ? rc : read_readers(t, &q, part[1], a, e);
}

int manifest_parse(struct takeoff *t, const char *name, const char *text, size_t len,
                   struct arena *a, struct err *e)
{
    struct place top = { .file = name, .text = "takeoff" };
    struct ytree *root = NULL;
    const struct ytree *n;
    int rc;

    rc = ytree_parse(name, text, len, a, &root, e);
    if (rc)
        return rc;
    if (root && root->kind != KIND_MAP && root->kind != KIND_NULL)
        return expected_map(&top, root, "a map with the key takeoff", e);
    n = root && root->kind == KIND_MAP ? get(root, "takeoff") : NULL;
    if (!n)
        return err_set(e, ERR_INVALID, "%s: there is no key takeoff", name);
    for (size_t i = 0; i < root->n; i++)
        if (strcmp(root->pairs[i].key, "takeoff"))
            takeoff_note(t, a, "%.80s is not known, and has no effect", root->pairs[i].key);
    return read_takeoff(t, &top, n, a, e);
}
