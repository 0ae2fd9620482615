/* split_tags.c - calls whose arguments stand one by one between marks, strings without quotes.
 *
 * A value whose type the tool's schema says to be a string passes as it comes, as the inside of a
 * JSON string; any other waits until it is whole: it is itself where it is JSON, and a string
 * otherwise. */
#include <string.h>

#include "fcgi/parts/split_state.h"

#define CDATA     "<![CDATA["
#define CDATA_END "]]></param>" /* only MiniCPM has it */

static void seek_byte(struct split *s, char c);
static void seek_mark(struct split *s, size_t i);
static void no_end(struct split *s);
static void name_byte(struct split *s, char c);
static void name_mark(struct split *s, size_t i);
static void args_byte(struct split *s, char c);
static void args_mark(struct split *s, size_t i);
static void key_byte(struct split *s, char c);
static void key_mark(struct split *s, size_t i);
static void gap_byte(struct split *s, char c);
static void gap_mark(struct split *s, size_t i);
static void value_byte(struct split *s, char c);
static void value_mark(struct split *s, size_t i);

static const struct split_state seek_state = { .byte = seek_byte,
                                               .mark = seek_mark,
                                               .end = no_end };
static const struct split_state name_state = { .byte = name_byte,
                                               .mark = name_mark,
                                               .end = no_end };
static const struct split_state args_state = { .byte = args_byte,
                                               .mark = args_mark,
                                               .end = no_end };
static const struct split_state key_state = { .byte = key_byte, .mark = key_mark, .end = no_end };
static const struct split_state gap_state = { .byte = gap_byte, .mark = gap_mark, .end = no_end };
static const struct split_state value_state = { .byte = value_byte,
                                                .mark = value_mark,
                                                .end = no_end };

static void seek(struct split *s)
{
    s->called = false;
    split_go(s, &seek_state, s->o.format->close, s->o.format->call, NULL);
}

static void begin_name(struct split *s)
{
    const struct format *f = s->o.format;

    s->called = false;
    split_reset(s, &s->name);
    split_go(s, &name_state, f->name_end ? f->name_end : f->key, f->call_end, NULL);
}

void split_tags(struct split *s, bool in_call)
{
    if (in_call)
        begin_name(s);
    else
        seek(s);
}

static void no_end(struct split *s)
{
    if (!s->called && s->raw.len && !s->n_calls)
        split_give_back(s);
}

/* --- between calls --- */

static void seek_byte(struct split *s, char c)
{
    if (!split_is_blank(c))
        split_give_back(s);
}

static void seek_mark(struct split *s, size_t i)
{
    if (i == 0)
        split_text(s, true);
    else
        begin_name(s);
}

/* --- name --- */

static void name_byte(struct split *s, char c)
{
    buf_putc(&s->name, c);
    if (s->name.len > NAME_MAX_LEN)
        split_give_back(s);
}

static void args(struct split *s)
{
    split_go(s, &args_state, s->o.format->key, s->o.format->call_end, NULL);
}

static void end_call(struct split *s)
{
    split_emit(s, PART_ARGUMENTS, s->any ? "}" : "{}", s->any ? 1 : 2);
    if (s->o.format->open)
        seek(s);
    else
        split_text(s, true);
}

static void begin_key(struct split *s)
{
    split_reset(s, &s->key);
    split_go(s, &key_state, s->o.format->key_end, NULL, NULL);
}

static void name_mark(struct split *s, size_t i)
{
    split_trim_name(s);
    if (!split_call(s))
        split_give_back(s);
    else if (i == 1)
        end_call(s);
    else if (s->o.format->name_end)
        args(s);
    else
        begin_key(s);
}

/* --- arguments --- */

static void args_byte(struct split *s, char c)
{
    (void)s; /* white space between them, or nothing that could be one */
    (void)c;
}

static void args_mark(struct split *s, size_t i)
{
    if (i == 0)
        begin_key(s);
    else
        end_call(s);
}

static void key_byte(struct split *s, char c)
{
    if (s->key.len < NAME_MAX_LEN)
        buf_putc(&s->key, c);
}

/* GLM's, Qwen's and others' values may have a line of their own. */
static void begin_value(struct split *s)
{
    enum arg_kind kind = split_arg_kind(s->o.tools, buf_str(&s->name), buf_str(&s->key));
    const char *attributes = buf_str(&s->value);

    if (s->o.format->value && strstr(attributes, "string=\"true\""))
        kind = ARG_STRING;
    else if (s->o.format->value && strstr(attributes, "string=\"false\""))
        kind = ARG_OTHER;
    split_emit(s, PART_ARGUMENTS, s->any ? ", \"" : "{\"", s->any ? 3 : 2);
    s->any = true;
    split_reset(s, &s->value);
    escape_bytes(&s->value, s->key.data, s->key.len);
    split_emit(s, PART_ARGUMENTS, s->value.data, s->value.len);
    s->quoted = kind == ARG_STRING;
    split_emit(s, PART_ARGUMENTS, s->quoted ? "\": \"" : "\": ", s->quoted ? 4 : 3);
    split_reset(s, &s->value);
    s->role = 0; /* nothing of it yet: a newline does not belong to it */
    split_go(s, &value_state, s->o.format->value_end, s->o.format->cdata ? CDATA : NULL, NULL);
}

static void key_mark(struct split *s, size_t i)
{
    size_t from = 0, to = s->key.len;

    (void)i;
    while (from < to && split_is_blank(s->key.data[from]))
        from++;
    while (to > from && split_is_blank(s->key.data[to - 1]))
        to--;
    if (s->key.len) {
        memmove(s->key.data, s->key.data + from, to - from);
        s->key.data[to - from] = '\0';
        s->key.len = to - from;
    }
    split_reset(s, &s->value);
    if (s->o.format->value)
        split_go(s, &gap_state, s->o.format->value, NULL, NULL);
    else
        begin_value(s);
}

static void gap_byte(struct split *s, char c)
{
    if (s->value.len < NAME_MAX_LEN)
        buf_putc(&s->value, c);
}

static void gap_mark(struct split *s, size_t i)
{
    (void)i;
    begin_value(s);
}

/* One newline at either end belongs to the mark: the last one is held in `blank`. */
static void value_byte(struct split *s, char c)
{
    struct buf *out = &s->value;

    if (c == '\n' && !s->role) {
        s->role = 1;
        return;
    }
    if (!s->role)
        s->role = 1;
    if (s->quoted)
        buf_reset(out);
    if (s->blank.len)
        buf_puts(out, s->quoted ? "\\n" : "\n");
    split_reset(s, &s->blank);
    if (c == '\n')
        buf_putc(&s->blank, c);
    else if (s->quoted)
        escape_bytes(out, &c, 1);
    else
        buf_putc(out, c);
    if (s->quoted)
        split_emit(s, PART_ARGUMENTS, out->data, out->len);
}

static void value_mark(struct split *s, size_t i)
{
    if (i) {
        /* All of it up to the end is text, newlines and the other mark, too. */
        split_go(s, &value_state, CDATA_END, NULL, NULL);
        s->role = 2;
        return;
    }
    if (s->role == 2 && s->blank.len && s->quoted)
        split_emit(s, PART_ARGUMENTS, "\\n", 2);
    else if (s->role == 2 && s->blank.len)
        buf_putc(&s->value, '\n');
    split_reset(s, &s->blank);
    if (s->quoted) {
        split_emit(s, PART_ARGUMENTS, "\"", 1);
    } else {
        struct buf out = { 0 };

        split_put_value(&out, s->value.data, s->value.len);
        split_emit(s, PART_ARGUMENTS, out.data, out.len);
        s->failed |= out.failed;
        buf_done(&out);
    }
    split_reset(s, &s->value);
    args(s);
}
