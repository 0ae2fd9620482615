/* split.c - the parts that come out, and the states outside of calls; split_stream.c brings the
 * bytes. */
#include "fcgi/parts/split.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/parts/split_state.h"

bool split_is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

void split_reset(struct split *s, struct buf *b)
{
    s->failed |= b->failed;
    buf_reset(b);
}

/* --- parts --- */

void split_emit(struct split *s, enum part_kind kind, const char *bytes, size_t len)
{
    struct part *last = s->n_parts ? &s->parts[s->n_parts - 1] : NULL;

    if (!len && kind != PART_CALL)
        return;
    if (!last || last->kind != kind || kind == PART_CALL) {
        if (s->n_parts == s->cap) {
            size_t cap = s->cap ? 2 * s->cap : 8;
            struct part *p = realloc(s->parts, cap * sizeof *p);

            if (!p) {
                s->failed = true;
                return;
            }
            s->parts = p;
            s->cap = cap;
        }
        last = &s->parts[s->n_parts++];
        *last = (struct part){ .kind = kind, .start = s->text.len };
        if (kind == PART_CALL || kind == PART_ARGUMENTS)
            last->call = s->n_calls - 1;
    }
    buf_put(&s->text, bytes, len);
    last->len += len;
    s->failed |= s->text.failed;
}

void split_take(struct split *s)
{
    buf_reset(&s->text);
    s->n_parts = 0;
}

static void text_marks(struct split *s);

bool split_call(struct split *s)
{
    if (!s->name.len || (s->bare && !split_knows(s->o.tools, buf_str(&s->name))))
        return false;
    s->n_calls++;
    s->called = true;
    s->any = false;
    s->has_args = false;
    split_emit(s, PART_CALL, s->name.data, s->name.len);
    split_reset(s, &s->raw);
    return true;
}

void split_give_back(struct split *s)
{
    bool called = s->called;

    /* Before a call began, all of it; afterwards what does not belong to it. */
    if (s->raw.len && !called) {
        split_emit(s, PART_CONTENT, s->raw.data, s->raw.len);
        split_text(s, false);
        s->begun = true;
        text_marks(s);
    } else {
        split_text(s, true);
    }
}

/* --- states --- */

void split_go(struct split *s, const struct split_state *state, const char *a, const char *b,
              const char *c)
{
    memset(s->marks, 0, sizeof s->marks);
    s->state = state;
    s->marks[0] = a;
    s->marks[1] = b;
    s->marks[2] = c;
}

/* Text: begins of reasoning (only where nothing stands before it) and of calls. */
enum text_mark { MARK_OPEN, MARK_CALL, MARK_THINK };

static void text_marks(struct split *s)
{
    const struct format *f = s->o.format;

    if (f && f->body == BODY_CHANNELS)
        f = NULL;
    s->marks[MARK_OPEN] = f ? f->open : NULL;
    s->marks[MARK_CALL] = f && !f->open ? f->call : NULL;
    s->marks[MARK_THINK] = s->o.thinking && !s->begun ? s->o.thinking->open : NULL;
}

static void put_text(struct split *s, const char *bytes, size_t len)
{
    if (s->begun || !s->apart)
        split_emit(s, PART_CONTENT, s->blank.data, s->blank.len);
    split_reset(s, &s->blank);
    s->begun = true;
    split_emit(s, PART_CONTENT, bytes, len);
    text_marks(s);
}

static void begin_calls(struct split *s, bool bare)
{
    s->bare = bare;
    s->called = false;
    s->recording = true;
    switch (s->o.format->body) {
    case BODY_OBJECTS:
        split_objects(s);
        break;
    case BODY_NAMED:
        split_named(s);
        break;
    case BODY_TAGS:
        split_tags(s, !s->o.format->open);
        break;
    case BODY_PYTHON:
        split_python(s);
        break;
    case BODY_CHANNELS:
        break;
    }
}

static void text_byte(struct split *s, char c)
{
    const struct format *f = s->o.format;

    if (split_is_blank(c)) {
        buf_putc(&s->blank, c);
        return;
    }
    if (f && f->bare && !s->begun && c == (f->body == BODY_PYTHON ? '[' : '{')) {
        split_reset(s, &s->raw);
        if (!s->apart)
            buf_put(&s->raw, s->blank.data, s->blank.len);
        split_reset(s, &s->blank);
        buf_putc(&s->raw, c);
        begin_calls(s, true);
        s->state->byte(s, c);
        return;
    }
    put_text(s, &c, 1);
}

static void think_byte(struct split *s, char c);
static void think_mark(struct split *s, size_t i);
static void think_end(struct split *s);
static const struct split_state thinking_state = { .byte = think_byte,
                                                   .mark = think_mark,
                                                   .end = think_end };

static void begin_thinking(struct split *s)
{
    split_reset(s, &s->blank);
    s->begun = false;
    split_go(s, &thinking_state, s->o.thinking->close, NULL, NULL);
}

static void text_mark(struct split *s, size_t i)
{
    if (i == MARK_THINK) {
        begin_thinking(s);
        return;
    }
    /* Blanks before a call are only wanted back if it is none. */
    split_reset(s, &s->raw);
    if (s->begun || !s->apart)
        buf_put(&s->raw, s->blank.data, s->blank.len);
    split_reset(s, &s->blank);
    buf_puts(&s->raw, s->marks[i]);
    begin_calls(s, false);
}

static void text_end(struct split *s)
{
    if (s->begun || !s->apart)
        split_emit(s, PART_CONTENT, s->blank.data, s->blank.len);
    split_reset(s, &s->blank);
}

static const struct split_state text_state = { .byte = text_byte,
                                               .mark = text_mark,
                                               .end = text_end };

void split_text(struct split *s, bool apart)
{
    split_go(s, &text_state, NULL, NULL, NULL);
    s->apart |= apart;
    s->called = false;
    s->recording = false;
    s->begun = false;
    split_reset(s, &s->blank);
    split_reset(s, &s->raw);
    text_marks(s);
}

static void think_byte(struct split *s, char c)
{
    if (split_is_blank(c)) {
        buf_putc(&s->blank, c);
        return;
    }
    if (s->begun)
        split_emit(s, PART_REASONING, s->blank.data, s->blank.len);
    split_reset(s, &s->blank);
    s->begun = true;
    split_emit(s, PART_REASONING, &c, 1);
}

static void think_mark(struct split *s, size_t i)
{
    (void)i;
    split_text(s, true);
}

static void think_end(struct split *s)
{
    split_reset(s, &s->blank);
}

/* Does the prompt end with the mark that begins reasoning, blanks apart? */
static bool within(const char *prompt_end, const char *open)
{
    size_t n = strlen(prompt_end), len = strlen(open);

    while (n && split_is_blank(prompt_end[n - 1]))
        n--;
    while (len && split_is_blank(open[len - 1]))
        len--;
    return n >= len && !memcmp(prompt_end + n - len, open, len);
}

void split_init(struct split *s, const struct split_options *o)
{
    *s = (struct split){ .o = *o };
    if (o->format && o->format->body == BODY_CHANNELS) {
        split_channels(s, o->prompt_end);
    } else {
        split_text(s, false);
        if (o->only_calls)
            begin_calls(s, false);
        else if (o->thinking && o->prompt_end && within(o->prompt_end, o->thinking->open))
            begin_thinking(s);
    }
    s->reasoned = split_in_reasoning(s);
}

bool split_in_reasoning(const struct split *s)
{
    return s->state == &thinking_state ||
           (s->o.format && s->o.format->body == BODY_CHANNELS && s->role == PART_REASONING);
}

bool split_in_call(const struct split *s)
{
    return s->called;
}

void split_done(struct split *s)
{
    struct buf *bufs[] = { &s->text, &s->held, &s->control, &s->blank,
                           &s->raw,  &s->name, &s->key,     &s->value };

    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_done(bufs[i]);
    free(s->parts);
    *s = (struct split){ 0 };
}
