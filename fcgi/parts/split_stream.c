/* split_stream.c - an answer as a sequence of bytes, control tokens and ends of tokens.
 *
 * Bytes go through `held`, where the marks of the state are looked for; what is no mark goes to the
 * state byte by byte.  So it cannot matter how the answer was cut. */
#include "fcgi/parts/split.h"

#include <string.h>

#include "fcgi/parts/split_state.h"

/* As engine.h has them. */
enum { LOGPROB = 0xfc, TOKEN = 0xfd, CONTROL_END = 0xfe, CONTROL_BEGIN = 0xff };

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
