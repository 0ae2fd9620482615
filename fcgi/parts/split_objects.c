/* split_objects.c - calls as JSON objects: {"name": "f", "arguments": {...}}, alone, one after the
 * other or in a list, until the format's closing mark.
 *
 * The arguments' bytes pass as they stand; where they are a string (some models quote them) its
 * meaning passes.  A member "function" that is an object is looked into, others are skipped. */
#include <string.h>

#include "fcgi/parts/split_state.h"

/* Where in an object the next byte stands. */
enum { AT_KEY, AT_IN_KEY, AT_COLON, AT_VALUE, AT_IN_VALUE, AT_BARE_VALUE, AT_COMMA, AT_END };

/* Whose value it is. */
enum { ROLE_SKIP, ROLE_NAME, ROLE_ARGS };

static void seek_byte(struct split *s, char c);
static void seek_mark(struct split *s, size_t i);
static void seek_end(struct split *s);
static void object_byte(struct split *s, char c);
static void object_end(struct split *s);
static void rest_byte(struct split *s, char c);
static void rest_mark(struct split *s, size_t i);
static void rest_end(struct split *s);

static const struct split_state seek_state = { .byte = seek_byte,
                                               .mark = seek_mark,
                                               .end = seek_end };
static const struct split_state object_state = { .byte = object_byte, .end = object_end };
static const struct split_state rest_state = { .byte = rest_byte,
                                               .mark = rest_mark,
                                               .end = rest_end };

static void seek(struct split *s)
{
    s->called = false;
    split_reset(s, &s->name);
    split_reset(s, &s->value);
    split_go(s, &seek_state, s->o.format->close,
             s->o.format->body == BODY_NAMED ? s->o.format->call : s->o.format->open, NULL);
}

void split_objects(struct split *s)
{
    s->at = AT_END;
    seek(s);
}

/* Between objects. */
static void seek_byte(struct split *s, char c)
{
    if (split_is_blank(c) || (c == '[' && !s->bare) || c == ']' || c == ',' || c == ';')
        return;
    if (c != '{') {
        bool python = s->o.format->bare && !s->bare && !s->n_calls;

        s->bare |= python; /* code that calls none of the tools is just code */
        if (python) {
            split_python(s);
            s->state->byte(s, c);
        } else {
            split_give_back(s);
        }
        return;
    }
    s->nest = 0;
    s->at = AT_KEY;
    s->has_args = false;
    split_reset(s, &s->key);
    split_go(s, &object_state, NULL, NULL, NULL);
}

static void seek_mark(struct split *s, size_t i)
{
    if (i == 0)
        split_text(s, true);
}

static void seek_end(struct split *s)
{
    if (!s->n_calls && s->raw.len)
        split_give_back(s);
}

/* Something that is no JSON: before the call has begun it is none, afterwards all of it up to the
 * mark is arguments, so that whoever reads them can see what the model wrote. */
static void fail(struct split *s, char c)
{
    if (!s->called) {
        split_give_back(s);
        return;
    }
    split_go(s, &rest_state, s->o.format->close, NULL, NULL);
    rest_byte(s, c);
}

static void rest_byte(struct split *s, char c)
{
    split_emit(s, PART_ARGUMENTS, &c, 1);
}

static void rest_mark(struct split *s, size_t i)
{
    (void)i;
    split_text(s, true);
}

static void rest_end(struct split *s)
{
    (void)s;
}

/* A piece of the arguments; they wait for the name where that comes later. */
static void put_args(struct split *s, const char *bytes, size_t len)
{
    if (s->called)
        split_emit(s, PART_ARGUMENTS, bytes, len);
    else
        buf_put(&s->value, bytes, len);
    s->any |= len > 0;
}

/* The name is whole. */
static bool begin_call(struct split *s)
{
    bool any = s->value.len > 0, has_args = s->has_args;

    if (s->called)
        return true;
    split_trim_name(s);
    if (!split_call(s))
        return false;
    s->has_args = has_args;
    split_emit(s, PART_ARGUMENTS, s->value.data, s->value.len);
    s->any = any;
    return true;
}

static void end_object(struct split *s)
{
    if (s->nest) {
        s->nest--;
        s->at = AT_COMMA;
        return;
    }
    if (!s->called) {
        split_give_back(s);
        return;
    }
    if (!s->any)
        split_emit(s, PART_ARGUMENTS, "{}", 2);
    seek(s);
}

static int role_of(const struct split *s)
{
    const struct format *f = s->o.format;
    const char *key = buf_str(&s->key);

    if (!f->name_key)
        return s->called ? ROLE_SKIP : ROLE_ARGS;
    if (!strcmp(key, f->name_key) || !strcmp(key, "name"))
        return ROLE_NAME;
    if (!s->has_args &&
        (!strcmp(key, f->args_key) || !strcmp(key, "arguments") || !strcmp(key, "parameters")))
        return ROLE_ARGS;
    return ROLE_SKIP;
}

/* The first byte of a value. */
static void begin_value(struct split *s, char c)
{
    s->role = role_of(s);
    if (s->role == ROLE_NAME && s->called)
        s->role = ROLE_SKIP;
    if (s->role == ROLE_SKIP && c == '{' && !strcmp(buf_str(&s->key), "function")) {
        s->nest++;
        s->at = AT_KEY;
        return;
    }
    s->json = (struct scan_json){ 0 };
    s->unescape = (struct unescape){ 0 };
    s->quoted = c == '"';
    if (s->role == ROLE_ARGS && !s->o.format->name_key) {
        split_reset(s, &s->name);
        buf_put(&s->name, s->key.data, s->key.len);
        if (!begin_call(s)) {
            split_give_back(s);
            return;
        }
    }
    if (s->role == ROLE_NAME) {
        split_reset(s, &s->name);
        if (!s->quoted) {
            fail(s, c);
            return;
        }
    }
    if (s->role == ROLE_ARGS)
        s->has_args = true;
    s->at = AT_BARE_VALUE;
    if (c == '"' || c == '{' || c == '[') {
        s->at = AT_IN_VALUE;
        scan_json(&s->json, c);
        if (s->role == ROLE_ARGS && !s->quoted)
            put_args(s, &c, 1);
    }
}

static void in_value(struct split *s, char c)
{
    bool last = scan_json(&s->json, c);

    if (last)
        s->at = AT_COMMA;
    if (s->role == ROLE_NAME && !last) {
        if (s->name.len < NAME_MAX_LEN)
            unescape_byte(&s->unescape, c, &s->name);
    } else if (s->role == ROLE_NAME && !begin_call(s)) {
        split_give_back(s);
    } else if (s->role == ROLE_ARGS && s->quoted && !last) {
        struct buf plain = { 0 };

        unescape_byte(&s->unescape, c, &plain);
        put_args(s, plain.data, plain.len);
        buf_done(&plain);
    } else if (s->role == ROLE_ARGS && !s->quoted) {
        put_args(s, &c, 1);
    }
}

static void key_byte(struct split *s, char c)
{
    if (scan_json(&s->json, c))
        s->at = AT_COLON;
    else if (s->key.len < NAME_MAX_LEN)
        unescape_byte(&s->unescape, c, &s->key);
}

/* Bytes of an object that are neither inside a key nor inside a value. */
static void between(struct split *s, char c)
{
    if (split_is_blank(c))
        return;
    if (c == '}' && (s->at == AT_COMMA || s->at == AT_KEY)) {
        end_object(s);
    } else if (s->at == AT_COMMA && c == ',') {
        s->at = AT_KEY;
    } else if (s->at == AT_KEY && c == '"') {
        split_reset(s, &s->key);
        s->json = (struct scan_json){ .string = true };
        s->unescape = (struct unescape){ 0 };
        s->at = AT_IN_KEY;
    } else if (s->at == AT_COLON && c == ':') {
        s->at = AT_VALUE;
    } else {
        fail(s, c);
    }
}

static void object_byte(struct split *s, char c)
{
    switch (s->at) {
    case AT_IN_KEY:
        key_byte(s, c);
        break;
    case AT_VALUE:
        if (!split_is_blank(c))
            begin_value(s, c);
        break;
    case AT_IN_VALUE:
        in_value(s, c);
        break;
    case AT_BARE_VALUE: /* a number or a name: nobody's arguments */
        if (c == ',' || c == '}' || split_is_blank(c)) {
            s->at = AT_COMMA;
            between(s, c);
        }
        break;
    default:
        between(s, c);
    }
}

static void object_end(struct split *s)
{
    if (!s->called)
        split_give_back(s);
}
