/* split_channels.c - gpt-oss' messages (Harmony): each has a header, and the header says what it
 * is.
 *
 *     <|channel|>analysis<|message|>reasoning<|end|>
 *     <|start|>assistant<|channel|>commentary to=functions.f
 * <|constrain|>json<|message|>{...}<|call|>
 *     <|start|>assistant<|channel|>final<|message|>what the user reads<|return|>
 *
 * Commentary that goes to nobody is said to the user.  (Source: OpenAI's description of the Harmony
 * format.) */
#include <string.h>

#include "fcgi/parts/split_state.h"

#define START   "<|start|>"
#define CHANNEL "<|channel|>"
#define MESSAGE "<|message|>"
#define END     "<|end|>"
#define CALL    "<|call|>"

static void header_byte(struct split *s, char c);
static void header_control(struct split *s, const char *token);
static void header_mark(struct split *s, size_t i);
static void header_end(struct split *s);
static void message_byte(struct split *s, char c);
static void message_mark(struct split *s, size_t i);
static void message_end(struct split *s);

static const struct split_state header_state = { header_byte, header_mark, header_end,
                                                 header_control };
static const struct split_state message_state = { .byte = message_byte,
                                                  .mark = message_mark,
                                                  .end = message_end };

static void begin_header(struct split *s)
{
    s->called = false;
    split_reset(s, &s->name);
    split_go(s, &header_state, MESSAGE, NULL, NULL);
}

static void begin_message(struct split *s, int kind)
{
    s->role = kind;
    split_go(s, &message_state, END, CALL, START);
}

/* prompt_end: where it ends within a header, that goes on; else the answer begins with text. */
void split_channels(struct split *s, const char *prompt_end)
{
    size_t n = prompt_end ? strlen(prompt_end) : 0;

    if (n >= strlen(MESSAGE) && !strcmp(prompt_end + n - strlen(MESSAGE), MESSAGE))
        begin_message(s, PART_CONTENT);
    else
        begin_header(s);
}

/* Text where a header should be: the model does not keep to its format. */
static void give_back(struct split *s)
{
    split_emit(s, PART_CONTENT, s->name.data, s->name.len);
    begin_message(s, PART_CONTENT);
}

static void header_byte(struct split *s, char c)
{
    buf_putc(&s->name, c);
    if (s->name.len > NAME_MAX_LEN)
        give_back(s);
}

static void header_control(struct split *s, const char *token)
{
    if (strcmp(token, START) != 0)
        buf_puts(&s->name, token);
}

/* The word that follows `sign` in the header, up to a blank or a control token; 0 bytes: none. */
static size_t word_after(const char *header, const char *sign, const char **word)
{
    const char *p = strstr(header, sign);

    if (!p)
        return 0;
    *word = p + strlen(sign);
    return strcspn(*word, " \n<");
}

static void header_mark(struct split *s, size_t i)
{
    const char *word = "", *header = buf_str(&s->name);
    size_t len = word_after(header, "to=", &word);

    (void)i;
    if (len && strncmp(word, "user", len) != 0) {
        struct buf name = { 0 };

        buf_put(&name, word, len);
        split_reset(s, &s->name);
        buf_put(&s->name, name.data, name.len);
        buf_done(&name);
        split_trim_name(s);
        s->json = (struct scan_json){ 0 };
        begin_message(s, split_call(s) ? PART_ARGUMENTS : PART_CONTENT);
        return;
    }
    len = word_after(header, CHANNEL, &word);
    begin_message(s, len == 8 && !strncmp(word, "analysis", 8) && !s->o.reasoning_is_content
                         ? PART_REASONING
                         : PART_CONTENT);
}

static void header_end(struct split *s)
{
    /* Cut within a header: it says nothing, unless it is the text of a model without headers. */
    if (!strstr(buf_str(&s->name), CHANNEL) && !strstr(buf_str(&s->name), "to="))
        split_emit(s, PART_CONTENT, s->name.data, s->name.len);
}

static void message_byte(struct split *s, char c)
{
    s->any |= !split_is_blank(c);
    split_emit(s, (enum part_kind)s->role, &c, 1);
    if (s->role == PART_ARGUMENTS && scan_json(&s->json, c))
        s->called = false; /* nothing is cut any more */
}

static void message_mark(struct split *s, size_t i)
{
    (void)i;
    message_end(s);
    begin_header(s);
}

/* The token that ends the turn is not among what is pushed: the end of a call's message is the
 * call's. */
static void message_end(struct split *s)
{
    if (s->called && !s->any)
        split_emit(s, PART_ARGUMENTS, "{}", 2);
}
