/* The stream is a sequence of bytes and control tokens.  Bytes go through `held`, where the marks
 * of the state are looked for; what is no mark goes to the state byte by byte.  So it cannot matter
 * how the answer was cut. */
#include "fcgi/parts/split.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/parts/split_state.h"

/* As engine.h has them. */
enum { LOGPROB = 0xfc, TOKEN = 0xfd, CONTROL_END = 0xfe, CONTROL_BEGIN = 0xff };

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

/* --- the stream --- */

enum match { MATCH_NONE, MATCH_BEGUN, MATCH_WHOLE };

static enum match match_marks(const struct split *s, size_t *mark)
{
    enum match found = MATCH_NONE;

    for (size_t i = 0; i < SPLIT_MARKS; i++) {
        size_t len = s->marks[i] ? strlen(s->marks[i]) : 0;

        if (len <= s->held.len ? len && !memcmp(s->marks[i], s->held.data, len)
                               : !memcmp(s->marks[i], s->held.data, s->held.len)) {
            if (len <= s->held.len) {
                *mark = i;
                return MATCH_WHOLE;
            }
            found = MATCH_BEGUN;
        }
    }
    return found;
}

/* What a mark promised to be a call and is not known yet to be one. */
static void record(struct split *s, const char *bytes, size_t len)
{
    if (s->recording && !s->called)
        buf_put(&s->raw, bytes, len);
}

/* Takes marks and bytes from what is held; with `last`, nothing is waited for. */
static void settle(struct split *s, bool last)
{
    while (s->held.len) {
        size_t mark = 0;
        enum match m = match_marks(s, &mark);

        if (m == MATCH_BEGUN && !last)
            return;
        if (m == MATCH_WHOLE) {
            size_t len = strlen(s->marks[mark]);

            record(s, s->held.data, len);
            memmove(s->held.data, s->held.data + len, s->held.len - len + 1);
            s->held.len -= len;
            s->state->mark(s, mark);
        } else {
            char c = *s->held.data;

            memmove(s->held.data, s->held.data + 1, s->held.len);
            s->held.len--;
            record(s, &c, 1);
            s->state->byte(s, c);
        }
    }
}

/* A whole control token: a mark of the state, the beginning of one, or nothing. */
static void take_control(struct split *s)
{
    const char *token = buf_str(&s->control);

    settle(s, true);
    for (size_t i = 0; i < SPLIT_MARKS; i++)
        if (s->marks[i] && !strncmp(s->marks[i], token, s->control.len)) {
            buf_put(&s->held, token, s->control.len);
            settle(s, false);
            return;
        }
    if (s->state->control)
        s->state->control(s, token);
}

/* A token is reasoning if it began or left some. */
static void count_token(struct split *s)
{
    bool now = split_in_reasoning(s);

    s->n_tokens++;
    s->n_reasoning += s->reasoned || now;
    s->reasoned = now;
}

static void note_failures(struct split *s)
{
    s->failed |= s->held.failed || s->control.failed || s->blank.failed || s->raw.failed ||
                 s->name.failed || s->key.failed || s->value.failed;
}

void split_push(struct split *s, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c == CONTROL_BEGIN) {
            s->in_control = true;
            split_reset(s, &s->control);
        } else if (c == CONTROL_END) {
            if (s->in_control)
                take_control(s);
            s->in_control = false;
        } else if (s->in_control) {
            buf_putc(&s->control, bytes[i]);
        } else if (c == TOKEN) {
            count_token(s);
        } else if (c != LOGPROB) {
            buf_putc(&s->held, bytes[i]);
            settle(s, false);
        }
    }
    note_failures(s);
}

void split_finish(struct split *s)
{
    settle(s, true);
    s->state->end(s);
    note_failures(s);
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
