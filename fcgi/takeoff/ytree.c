/* libyaml's events become nodes by recursion, no deeper than MAX_DEPTH. */
#include "fcgi/takeoff/ytree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_BYTES = 1024 * 1024, MAX_DEPTH = 32, MAX_NODES = 10000, MAX_ANCHORS = 256 };

struct reader {
    const char *name;
    yaml_parser_t parser;
    struct arena *arena;
    struct {
        const char *name;
        struct ytree *node;
    } anchors[MAX_ANCHORS];
    size_t n_anchors, n_nodes;
};

/* libyaml counts from 0. */
static int fail(const struct reader *r, yaml_mark_t at, int code, const char *why, struct err *e)
{
    return err_set(e, code, "%s:%zu:%zu: %s", r->name, at.line + 1, at.column + 1, why);
}

static int out_of_memory(const struct reader *r, struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for %s", r->name);
}

static int next_event(struct reader *r, yaml_event_t *event, struct err *e)
{
    const yaml_parser_t *p = &r->parser;

    if (yaml_parser_parse(&r->parser, event))
        return 0;
    if (p->error == YAML_MEMORY_ERROR)
        return out_of_memory(r, e);
    if (p->error == YAML_READER_ERROR)
        return err_set(e, ERR_FORMAT, "%s: byte %zu: %s", r->name, p->problem_offset, p->problem);
    return err_set(e, ERR_FORMAT, "%s:%zu:%zu: %s%s%s", r->name, p->problem_mark.line + 1,
                   p->problem_mark.column + 1, p->context ? p->context : "", p->context ? ": " : "",
                   p->problem ? p->problem : "not YAML");
}

/* --- scalars --- */

static bool is_one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(s, *words))
            return true;
    return false;
}

/* Whether it is a whole number in one of its notations, whose digits value then has.  A decimal one
 * of more than 64 bits keeps them, and fits nowhere. */
static bool is_integer(struct ytree *node)
{
    static const struct {
        const char *prefix, *digits;
        int base;
    } notations[] = { { "0x", "0123456789abcdefABCDEF", 16 },
                      { "0o", "01234567", 8 },
                      { "0b", "01", 2 } };
    const char *s = node->text, *digits = s + (*s == '-' || *s == '+');
    size_t len = strlen(digits);

    for (size_t i = 0; i < sizeof notations / sizeof *notations; i++) {
        unsigned long long n;

        if (strncmp(digits, notations[i].prefix, 2) != 0 || len == 2 ||
            strspn(digits + 2, notations[i].digits) != len - 2)
            continue;
        errno = 0;
        n = strtoull(digits + 2, NULL, notations[i].base);
        snprintf(node->number, sizeof node->number, "%s%llu", *s == '-' ? "-" : "", n);
        node->value = node->number;
        return !errno;
    }
    if (!len || strspn(digits, "0123456789") != len || (*digits == '0' && len > 1))
        return false; /* digits behind a zero are a text, as in "007" */
    node->value = *s == '+' ? digits : s;
    return true;
}

static bool is_real(const char *s)
{
    static const char *const words[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL };
    size_t whole, part = 0;

    s += *s == '-' || *s == '+';
    if (is_one_of(s, words))
        return true;
    whole = strspn(s, "0123456789");
    s += whole;
    if (*s == '.') {
        part = strspn(s + 1, "0123456789");
        s += 1 + part;
    }
    if (!whole && !part)
        return false;
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '-' || s[1] == '+');
        whole = strspn(s, "0123456789");
        s += whole;
        if (!whole)
            return false;
    }
    return !*s;
}

static void resolve(struct ytree *n)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const yes[] = { "true", "True", "TRUE", NULL };
    static const char *const no[] = { "false", "False", "FALSE", NULL };

    if (is_one_of(n->text, nulls)) {
        n->kind = KIND_NULL;
    } else if (is_one_of(n->text, yes) || is_one_of(n->text, no)) {
        n->kind = KIND_BOOL;
        n->value = is_one_of(n->text, yes) ? "true" : "false";
    } else if (is_integer(n)) {
        n->kind = KIND_INT;
    } else if (is_real(n->text)) {
        n->kind = KIND_REAL;
    }
}

static int read_scalar(struct reader *r, const yaml_event_t *event, struct ytree *n, struct err *e)
{
    static const char core[] = "tag:yaml.org,2002:";
    const char *value = (const char *)event->data.scalar.value;
    const char *tag = (const char *)event->data.scalar.tag;
    size_t len = event->data.scalar.length;

    /* YAML's own say what a value is, which a setting knows itself. */
    if (tag && strncmp(tag, core, sizeof core - 1) != 0)
        return fail(r, event->start_mark, ERR_FORMAT, "expected a value without a tag", e);
    if (memchr(value, 0, len))
        return fail(r, event->start_mark, ERR_FORMAT, "expected text, found a zero byte", e);
    n->text = arena_strndup(r->arena, value, len);
    if (!n->text)
        return out_of_memory(r, e);
    n->value = n->text;
    n->kind = KIND_TEXT;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        resolve(n);
    return 0;
}

/* --- nodes --- */

static int read_node(struct reader *r, yaml_event_t *event, size_t depth, struct ytree **out,
                     struct err *e);

/* A node for an anchor's name, once it is complete: so no node holds itself. */
static int keep_anchor(struct reader *r, const char *name, yaml_mark_t at, struct ytree *n,
                       struct err *e)
{
    const char *kept;

    if (r->n_anchors == MAX_ANCHORS)
        return fail(r, at, ERR_LIMIT, "expected at most 256 anchors", e);
    kept = arena_strndup(r->arena, name, strlen(name));
    if (!kept)
        return out_of_memory(r, e);
    r->anchors[r->n_anchors].name = kept;
    r->anchors[r->n_anchors++].node = n;
    return 0;
}

/* The latest of that name: YAML lets a document use a name again. */
static int read_alias(struct reader *r, const yaml_event_t *event, struct ytree **out,
                      struct err *e)
{
    for (size_t i = r->n_anchors; i > 0; i--)
        if (!strcmp(r->anchors[i - 1].name, (const char *)event->data.alias.anchor)) {
            *out = r->anchors[i - 1].node;
            return 0;
        }
    return fail(r, event->start_mark, ERR_FORMAT, "expected an alias of an anchor that came before",
                e);
}

static int add_pair(struct reader *r, struct ytree *map, const struct ytree_pair *pair, size_t *cap,
                    struct err *e)
{
    for (size_t i = 0; i < map->n; i++)
        if (!strcmp(map->pairs[i].key, pair->key))
            return err_set(e, ERR_FORMAT, "%s:%zu:%zu: the key \"%.80s\" is there a second time",
                           r->name, pair->line, pair->column, pair->key);
    if (map->n == *cap) {
        size_t more = *cap ? 2 * *cap : 8;
        struct ytree_pair *pairs = arena_array(r->arena, more, sizeof *pairs);

        if (!pairs)
            return out_of_memory(r, e);
        if (map->n)
            memcpy(pairs, map->pairs, map->n * sizeof *pairs);
        map->pairs = pairs;
        *cap = more;
    }
    map->pairs[map->n++] = *pair;
    return 0;
}

static int read_map(struct reader *r, struct ytree *map, size_t depth, struct err *e)
{
    size_t cap = 0;
    int rc = 0;

    map->kind = KIND_MAP;
    while (!rc) {
        struct ytree_pair pair = { 0 };
        struct ytree *key = NULL;
        yaml_event_t event;

        rc = next_event(r, &event, e);
        if (rc)
            return rc;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        pair.line = event.start_mark.line + 1;
        pair.column = event.start_mark.column + 1;
        rc = read_node(r, &event, depth, &key, e);
        if (!rc && !key->text)
            rc = err_set(e, ERR_FORMAT, "%s:%zu:%zu: expected a text as a key", r->name, pair.line,
                         pair.column);
        if (!rc)
            rc = next_event(r, &event, e);
        if (!rc)
            rc = read_node(r, &event, depth, &pair.value, e);
        if (!rc) {
            pair.key = key->text;
            rc = add_pair(r, map, &pair, &cap, e);
        }
    }
    return rc;
}

static int read_list(struct reader *r, struct ytree *list, size_t depth, struct err *e)
{
    int rc = 0;

    list->kind = KIND_LIST;
    while (!rc) {
        struct ytree *item;
        yaml_event_t event;

        rc = next_event(r, &event, e);
        if (rc)
            return rc;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        rc = read_node(r, &event, depth, &item, e);
        list->n++;
    }
    return rc;
}

/* Takes the event, which begins a node. */
static int read_node(struct reader *r, yaml_event_t *event, size_t depth, struct ytree **out,
                     struct err *e)
{
    yaml_char_t *anchor = NULL, *tag = NULL;
    struct ytree *n = NULL;
    int rc = 0;

    if (depth == MAX_DEPTH)
        rc = fail(r, event->start_mark, ERR_LIMIT, "expected at most 32 levels", e);
    else if (r->n_nodes++ == MAX_NODES)
        rc = fail(r, event->start_mark, ERR_LIMIT, "expected at most 10000 values", e);
    else if (event->type == YAML_ALIAS_EVENT)
        rc = read_alias(r, event, out, e);
    else if (!(n = arena_alloc(r->arena, sizeof *n)))
        rc = out_of_memory(r, e);
    if (rc || !n)
        goto out;
    n->line = event->start_mark.line + 1;
    n->column = event->start_mark.column + 1;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        rc = read_scalar(r, event, n, e);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        rc = tag ? 0 : read_map(r, n, depth + 1, e);
    } else {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        rc = tag ? 0 : read_list(r, n, depth + 1, e);
    }
    if (tag)
        rc = fail(r, event->start_mark, ERR_FORMAT, "expected a value without a tag", e);
    if (!rc && anchor)
        rc = keep_anchor(r, (const char *)anchor, event->start_mark, n, e);
    *out = n;
out:
    yaml_event_delete(event);
    return rc;
}

/* From the stream's start to its end, with at most one document in between. */
static int read_stream(struct reader *r, struct ytree **out, struct err *e)
{
    bool seen = false, end = false;
    yaml_event_t event;
    int rc = 0;

    while (!rc && !end) {
        rc = next_event(r, &event, e);
        if (rc)
            return rc;
        end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && seen)
            rc = fail(r, event.start_mark, ERR_FORMAT, "expected one document, found another", e);
        seen |= event.type == YAML_DOCUMENT_START_EVENT;
        if (event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT ||
            event.type == YAML_DOCUMENT_END_EVENT || end)
            yaml_event_delete(&event);
        else
            rc = read_node(r, &event, 0, out, e);
    }
    return rc;
}

int ytree_parse(const char *name, const char *text, size_t len, struct arena *a, struct ytree **out,
                struct err *e)
{
    struct reader *r;
    int rc;

    *out = NULL;
    if (len > MAX_BYTES)
        return err_set(e, ERR_LIMIT, "%s: expected at most %d bytes", name, MAX_BYTES);
    r = calloc(1, sizeof *r);
    if (!r || !yaml_parser_initialize(&r->parser)) {
        free(r);
        return err_set(e, ERR_NOMEM, "no memory for %s", name);
    }
    r->name = name;
    r->arena = a;
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    rc = read_stream(r, out, e);
    yaml_parser_delete(&r->parser);
    free(r);
    return rc;
}
