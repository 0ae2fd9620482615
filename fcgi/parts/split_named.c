/* split_named.c - calls as a name, a mark, and the arguments as one JSON object. */
#include <string.h>

#include "fcgi/parts/split_state.h"

static void seek_byte(struct split *s, char c);
static void seek_mark(struct split *s, size_t i);
static void seek_end(struct split *s);
static void name_byte(struct split *s, char c);
static void name_mark(struct split *s, size_t i);
static void name_end(struct split *s);
static void name_control(struct split *s, const char *token);
static void id_byte(struct split *s, char c);
static void args_byte(struct split *s, char c);
static void args_mark(struct split *s, size_t i);
static void args_end(struct split *s);

static const struct split_state seek_state = { .byte = seek_byte,
                                               .mark = seek_mark,
                                               .end = seek_end };
static const struct split_state name_state = {
    .byte = name_byte, .mark = name_mark, .end = name_end, .control = name_control
};
static const struct split_state id_state = { .byte = id_byte, .mark = name_mark, .end = name_end };
static const struct split_state args_state = { .byte = args_byte,
                                               .mark = args_mark,
                                               .end = args_end };

/* Between calls: the next one, or the end of them all. */
static void seek(struct split *s)
{
    s->called = false;
    split_go(s, &seek_state, s->o.format->close, s->o.format->call, s->o.format->call_end);
}

static void begin_name(struct split *s)
{
    s->called = false;
    split_reset(s, &s->name);
    split_go(s, &name_state, s->o.format->name_end, s->o.format->name_key ? "[CALL_ID]" : NULL,
             s->o.format->call_end);
}

void split_named(struct split *s)
{
    if (s->o.format->open)
        seek(s);
    else
        begin_name(s);
}

/* Fences and blanks stand there; where no mark closes the calls, anything else is text again. */
static void seek_byte(struct split *s, char c)
{
    if (split_is_blank(c) || (c == '`' && s->n_calls))
        return;
    split_give_back(s);
}

static void seek_mark(struct split *s, size_t i)
{
    if (i == 0)
        split_text(s, true);
    else if (i == 1)
        begin_name(s);
}

static void seek_end(struct split *s)
{
    if (s->raw.len && !s->n_calls)
        split_give_back(s);
}

/* Mistral's older models write a list of objects after the same mark. */
static void name_byte(struct split *s, char c)
{
    if (!s->name.len && split_is_blank(c))
        return;
    if (!s->name.len && s->o.format->name_key && (c == '[' || c == '{')) {
        split_objects(s);
        s->state->byte(s, c);
        return;
    }
    buf_putc(&s->name, c);
    if (s->name.len > NAME_MAX_LEN)
        split_give_back(s);
}

/* It belongs to the prefix that is dropped. */
static void name_control(struct split *s, const char *token)
{
    buf_puts(&s->name, token);
}

static void id_byte(struct split *s, char c)
{
    (void)s; /* ids are ours */
    (void)c;
}

static void name_mark(struct split *s, size_t i)
{
    if (i == 1) {
        split_go(s, &id_state, s->o.format->name_end, NULL, NULL);
        return;
    }
    split_trim_name(s);
    if (!split_call(s)) {
        split_give_back(s);
        return;
    }
    s->json = (struct scan_json){ 0 };
    if (i == 2) { /* no arguments at all */
        split_emit(s, PART_ARGUMENTS, "{}", 2);
        seek(s);
        return;
    }
    split_go(s, &args_state, s->o.format->call_end, NULL, NULL);
}

static void name_end(struct split *s)
{
    split_give_back(s);
}

static void args_byte(struct split *s, char c)
{
    if (!s->any && split_is_blank(c))
        return;
    s->any = true;
    split_emit(s, PART_ARGUMENTS, &c, 1);
    if (scan_json(&s->json, c))
        seek(s);
}

/* Inside a string the mark is text. */
static void args_mark(struct split *s, size_t i)
{
    if (s->json.string) {
        const char *mark = s->marks[i];

        for (size_t k = 0; mark[k]; k++)
            args_byte(s, mark[k]);
        return;
    }
    if (!s->any)
        split_emit(s, PART_ARGUMENTS, "{}", 2);
    seek(s);
}

static void args_end(struct split *s)
{
    (void)s;
}
