/* split_python.c - calls as Python would write them: [f(a="x", b=[1, True]), g()], or f.call(a=1).
 *
 * Turned into JSON as the bytes come: 'x' becomes "x", True true, a tuple a list. */
#include <string.h>

#include "fcgi/parts/split_state.h"

enum { AT_KEY, AT_VALUE };

static void seek_byte(struct split *s, char c);
static void seek_mark(struct split *s, size_t i);
static void any_end(struct split *s);
static void name_byte(struct split *s, char c);
static void args_byte(struct split *s, char c);

static const struct split_state seek_state = { .byte = seek_byte,
                                               .mark = seek_mark,
                                               .end = any_end };
static const struct split_state name_state = { .byte = name_byte,
                                               .mark = seek_mark,
                                               .end = any_end };
static const struct split_state args_state = { .byte = args_byte, .end = any_end };

static void seek(struct split *s)
{
    s->called = false;
    split_reset(s, &s->name);
    split_go(s, &seek_state, s->o.format->close, s->o.format->open, NULL);
}

void split_python(struct split *s)
{
    s->role = 0; /* '[' seen */
    seek(s);
}

static void any_end(struct split *s)
{
    if (!s->called && s->raw.len && !s->n_calls)
        split_give_back(s);
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

static void seek_byte(struct split *s, char c)
{
    if (split_is_blank(c) || c == ',' || c == ';' || c == ']' || (c == '[' && !s->role)) {
        s->role |= c == '[';
        return;
    }
    if (!is_name(c)) {
        split_give_back(s);
        return;
    }
    split_go(s, &name_state, s->o.format->close, NULL, NULL);
    name_byte(s, c);
}

static void seek_mark(struct split *s, size_t i)
{
    if (s->state == &name_state)
        split_give_back(s);
    else if (i == 0)
        split_text(s, true);
}

static void name_byte(struct split *s, char c)
{
    static const char call[] = ".call";

    if (is_name(c) && s->name.len < NAME_MAX_LEN) {
        buf_putc(&s->name, c);
        return;
    }
    if (s->name.len > 5 && !strcmp(s->name.data + s->name.len - 5, call)) {
        s->name.len -= 5;
        s->name.data[s->name.len] = '\0';
    }
    if (c != '(' || !split_call(s)) {
        split_give_back(s);
        return;
    }
    s->at = AT_KEY;
    s->quote = 0;
    s->nest = 0;
    split_reset(s, &s->key);
    split_reset(s, &s->value);
    split_go(s, &args_state, NULL, NULL, NULL);
}

/* A word outside of strings is complete: a number, or one of Python's names. */
static void end_word(struct split *s)
{
    static const char *const names[][2] = { { "True", "true" },
                                            { "False", "false" },
                                            { "None", "null" } };
    const char *word = buf_str(&s->value);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(word, names[i][0]))
            word = names[i][1];
    split_emit(s, PART_ARGUMENTS, word, strlen(word));
    split_reset(s, &s->value);
}

static void string_byte(struct split *s, char c)
{
    char out[2] = { '\\', c };

    if (s->json.escaped) {
        s->json.escaped = false;
        if (c == '\'') /* JSON knows no such escape */
            split_emit(s, PART_ARGUMENTS, out + 1, 1);
        else
            split_emit(s, PART_ARGUMENTS, out, 2);
    } else if (c == '\\') {
        s->json.escaped = true;
    } else if (c == s->quote) {
        s->quote = 0;
        split_emit(s, PART_ARGUMENTS, "\"", 1);
    } else {
        struct buf b = { 0 };

        escape_bytes(&b, &c, 1);
        split_emit(s, PART_ARGUMENTS, b.data, b.len);
        buf_done(&b);
    }
}

static void end_call(struct split *s)
{
    split_emit(s, PART_ARGUMENTS, s->any ? "}" : "{}", s->any ? 1 : 2);
    seek(s);
}

static void key_byte(struct split *s, char c)
{
    if (c == ')') {
        end_call(s);
    } else if (c == '=') {
        split_emit(s, PART_ARGUMENTS, s->any ? ", \"" : "{\"", s->any ? 3 : 2);
        s->any = true;
        split_emit(s, PART_ARGUMENTS, s->key.data, s->key.len);
        split_emit(s, PART_ARGUMENTS, "\": ", 3);
        s->at = AT_VALUE;
        s->json = (struct scan_json){ 0 };
    } else if (is_name(c) && s->key.len < NAME_MAX_LEN) {
        buf_putc(&s->key, c);
    }
}

static void args_byte(struct split *s, char c)
{
    if (s->at == AT_KEY) {
        key_byte(s, c);
        return;
    }
    if (s->quote) {
        string_byte(s, c);
        return;
    }
    if (is_name(c) || c == '+') {
        buf_putc(&s->value, c);
        return;
    }
    end_word(s);
    if (c == '\'' || c == '"') {
        s->quote = c;
        split_emit(s, PART_ARGUMENTS, "\"", 1);
    } else if (!s->nest && (c == ',' || c == ')')) {
        s->at = AT_KEY;
        split_reset(s, &s->key);
        if (c == ')')
            end_call(s);
    } else if (c == '[' || c == '{' || c == '(') {
        s->nest++;
        split_emit(s, PART_ARGUMENTS, c == '{' ? "{" : "[", 1);
    } else if (c == ']' || c == '}' || c == ')') {
        s->nest -= s->nest > 0;
        split_emit(s, PART_ARGUMENTS, c == '}' ? "}" : "]", 1);
    } else {
        split_emit(s, PART_ARGUMENTS, &c, 1);
    }
}
