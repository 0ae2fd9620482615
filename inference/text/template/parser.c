#include "inference/text/template/parse.h"

#include <string.h>

bool parse_is_op(const struct parser *p, const char *op)
{
    return p->tok->kind == TOKEN_OP && strcmp(p->tok->text, op) == 0;
}

bool parse_is_name(const struct parser *p, const char *name)
{
    return p->tok->kind == TOKEN_NAME && p->tok->len == strlen(name) &&
           memcmp(p->tok->text, name, p->tok->len) == 0;
}

bool parse_skip_op(struct parser *p, const char *op)
{
    bool is = parse_is_op(p, op);

    p->tok += is;
    return is;
}

bool parse_skip_name(struct parser *p, const char *name)
{
    bool is = parse_is_name(p, name);

    p->tok += is;
    return is;
}

int parse_unexpected(struct parser *p, const char *wanted)
{
    return template_error(p->t, p->tok->at, p->e, "expected %s, found '%.*s'", wanted,
                          (int)(p->tok->len < 40 ? p->tok->len : 40), p->tok->text);
}

int parse_expect_op(struct parser *p, const char *op)
{
    return parse_skip_op(p, op) ? 0 : parse_unexpected(p, op);
}

int parse_expect_name(struct parser *p, const char *name)
{
    return parse_skip_name(p, name) ? 0 : parse_unexpected(p, name);
}

void *parse_alloc(struct parser *p, size_t bytes)
{
    void *m = arena_alloc(&p->t->arena, bytes);

    if (!m)
        err_set(p->e, ERR_NOMEM, "no memory for the tree of a template of %zu bytes", p->t->len);
    return m;
}

int parse_push(struct parser *p, struct ptrs *l, void *item)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        void **more = parse_alloc(p, cap * sizeof *more);

        if (!more)
            return ERR_NOMEM;
        if (l->n)
            memcpy(more, l->items, l->n * sizeof *more);
        l->items = more;
        l->cap = cap;
    }
    l->items[l->n++] = item;
    return 0;
}

int parse_enter(struct parser *p)
{
    if (++p->depth > PARSE_MAX_DEPTH)
        return template_error(p->t, p->tok->at, p->e, "nested deeper than %d", PARSE_MAX_DEPTH);
    return 0;
}

int parse_intern(struct parser *p, const char *name, size_t len, const struct symbol **out)
{
    unsigned hash = 0;
    struct symbol **bucket, *s;

    for (size_t i = 0; i < len; i++)
        hash = hash * 31 + (unsigned char)name[i];
    bucket = &p->symbols[hash % SYMBOL_BUCKETS];
    for (s = *bucket; s; s = s->next) {
        if (s->len == len && memcmp(s->name, name, len) == 0)
            break;
    }
    if (!s) {
        s = parse_alloc(p, sizeof *s);
        if (!s)
            return ERR_NOMEM;
        s->name = arena_strndup(&p->t->arena, name, len);
        if (!s->name)
            return err_set(p->e, ERR_NOMEM, "no memory for a name");
        s->len = len;
        s->next = *bucket;
        *bucket = s;
    }
    *out = s;
    return 0;
}

int parse_symbol(struct parser *p, const struct symbol **out)
{
    if (p->tok->kind != TOKEN_NAME)
        return parse_unexpected(p, "a name");
    TRY(parse_intern(p, p->tok->text, p->tok->len, out));
    p->tok++;
    return 0;
}
