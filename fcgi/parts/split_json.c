/* split_json.c - JSON byte by byte, and what tools' schemas say of arguments. */
#include <stdio.h>
#include <string.h>

#include "fcgi/parts/split_state.h"
#include "kernels/base/json.h"

enum { VALUE_MAX_DEPTH = 64 };

bool scan_json(struct scan_json *j, char c)
{
    if (j->string) {
        if (j->escaped)
            j->escaped = false;
        else if (c == '\\')
            j->escaped = true;
        else if (c == '"')
            j->string = false;
        return !j->string && !j->depth;
    }
    if (c == '"')
        j->string = true;
    else if (c == '{' || c == '[')
        j->depth++;
    else if ((c == '}' || c == ']') && j->depth)
        return --j->depth == 0;
    return false;
}

/* A code point as UTF-8; what is none as U+FFFD. */
static void put_code(struct buf *out, unsigned code)
{
    if (code >= 0xd800 && code < 0xe000)
        code = 0xfffd;
    if (code < 0x80) {
        buf_putc(out, (char)code);
    } else if (code < 0x800) {
        buf_putc(out, (char)(0xc0 | code >> 6));
        buf_putc(out, (char)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        buf_putc(out, (char)(0xe0 | code >> 12));
        buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (code & 0x3f)));
    } else {
        buf_putc(out, (char)(0xf0 | code >> 18));
        buf_putc(out, (char)(0x80 | (code >> 12 & 0x3f)));
        buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (code & 0x3f)));
    }
}

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *p = c ? strchr(digits, c | 0x20) : NULL;

    return p && c != ' ' ? (int)(p - digits) : -1;
}

/* Four digits are complete: halves of a pair wait for each other. */
static void put_unit(struct unescape *u, struct buf *out)
{
    unsigned high = u->surrogate;

    u->surrogate = 0;
    if (high && u->code >= 0xdc00 && u->code < 0xe000) {
        put_code(out, 0x10000 + ((high - 0xd800) << 10) + (u->code - 0xdc00));
        return;
    }
    if (high)
        put_code(out, high);
    if (u->code >= 0xd800 && u->code < 0xdc00)
        u->surrogate = u->code;
    else
        put_code(out, u->code);
}

static void put_escaped(struct unescape *u, char c, struct buf *out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *p = strchr(from, c);

    u->state = 0;
    if (c == 'u') {
        u->state = 5;
        u->code = 0;
        return;
    }
    if (u->surrogate)
        put_code(out, u->surrogate);
    u->surrogate = 0;
    buf_putc(out, c && p ? to[p - from] : c);
}

void unescape_byte(struct unescape *u, char c, struct buf *out)
{
    if (u->state > 1) {
        int digit = hex(c);

        u->code = u->code << 4 | (unsigned)(digit < 0 ? 0xd : digit);
        if (--u->state == 1) {
            u->state = 0;
            put_unit(u, out);
        }
    } else if (u->state == 1) {
        put_escaped(u, c, out);
    } else if (c == '\\') {
        u->state = 1;
    } else {
        if (u->surrogate)
            put_code(out, u->surrogate);
        u->surrogate = 0;
        buf_putc(out, c);
    }
}

void escape_bytes(struct buf *out, const char *bytes, size_t len)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";

    for (size_t i = 0; i < len; i++) {
        const char *p = bytes[i] ? strchr(from, bytes[i]) : NULL;

        if (p) {
            buf_putc(out, '\\');
            buf_putc(out, to[p - from]);
        } else if ((unsigned char)bytes[i] < 0x20) {
            buf_printf(out, "\\u%04x", bytes[i]);
        } else {
            buf_putc(out, bytes[i]);
        }
    }
}

void split_put_value(struct buf *out, const char *bytes, size_t len)
{
    static const char *const names[][2] = { { "True", "true" },
                                            { "False", "false" },
                                            { "None", "null" } };
    struct value *v;
    struct arena a;
    struct err e;
    int rc;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i][0]) == len && !memcmp(bytes, names[i][0], len)) {
            buf_puts(out, names[i][1]);
            return;
        }
    arena_init(&a, 0);
    rc = len ? json_parse(bytes, len, VALUE_MAX_DEPTH, &a, &v, &e) : ERR_FORMAT;
    if (rc == 0) {
        buf_put(out, bytes, len);
    } else if (rc == ERR_NOMEM) {
        out->failed = true;
    } else {
        buf_putc(out, '"');
        escape_bytes(out, bytes, len);
        buf_putc(out, '"');
    }
    arena_done(&a);
}

/* The schema of a tool's arguments; NULL where the tool is not among them.  *known: it is. */
static const struct value *tool_schema(const struct value *tools, const char *name, bool *known)
{
    *known = false;
    for (size_t i = 0; tools && tools->kind == VALUE_LIST && i < tools->list.len; i++) {
        const struct value *tool = tools->list.items[i], *f = value_get(tool, "function");
        const struct value *n = value_get(f ? f : tool, "name");

        if (n && n->kind == VALUE_STRING && !strcmp(n->string.data, name)) {
            *known = true;
            return value_get(f ? f : tool, "parameters");
        }
    }
    return NULL;
}

bool split_knows(const struct value *tools, const char *tool)
{
    bool known;

    (void)tool_schema(tools, tool, &known);
    return known;
}

enum arg_kind split_arg_kind(const struct value *tools, const char *tool, const char *key)
{
    bool known;
    const struct value *schema = tool_schema(tools, tool, &known);
    const struct value *p = value_get(value_get(schema, "properties"), key);
    const struct value *type = value_get(p, "type"), *choices = value_get(p, "enum");

    if (type && type->kind == VALUE_STRING)
        return strcmp(type->string.data, "string") ? ARG_OTHER : ARG_STRING;
    if (!type && choices && choices->kind == VALUE_LIST && choices->list.len) {
        for (size_t i = 0; i < choices->list.len; i++)
            if (choices->list.items[i]->kind != VALUE_STRING)
                return ARG_OTHER;
        return ARG_STRING;
    }
    return p && type ? ARG_OTHER : ARG_UNKNOWN;
}

/* Kimi counts the calls: functions.name:0. */
void split_trim_name(struct split *s)
{
    const char *prefix = s->o.format->name_prefix;
    struct buf *b = &s->name;
    size_t from = 0, to = b->len, digits;

    while (from < to && split_is_blank(b->data[from]))
        from++;
    while (to > from && split_is_blank(b->data[to - 1]))
        to--;
    if (prefix && to - from >= strlen(prefix) && !memcmp(b->data + from, prefix, strlen(prefix)))
        from += strlen(prefix);
    for (digits = to; digits > from && b->data[digits - 1] >= '0' && b->data[digits - 1] <= '9';)
        digits--;
    if (prefix && digits < to && digits > from && b->data[digits - 1] == ':')
        to = digits - 1;
    if (b->len) {
        memmove(b->data, b->data + from, to - from);
        b->data[to - from] = '\0';
    }
    b->len = to - from;
}
