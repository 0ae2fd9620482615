/* A word is read character by character, as the shell reads it: what quotes, backslashes and
 * variables give goes into a buffer, and blanks outside of them end it.  What a shell would have to
 * run is an error rather than a guess. */
#include "fcgi/takeoff/convert/words.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/buf.h"

enum { NAME_MAX_BYTES = 128 };

int words_add(struct words *w, struct arena *a, const char *s, size_t len, struct err *e)
{
    char *kept = arena_strndup(a, s, len);

    if (kept && w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 16;
        char **item = arena_array(a, cap, sizeof *item);

        if (item && w->n)
            memcpy(item, w->item, w->n * sizeof *item);
        w->item = item ? item : w->item;
        w->cap = item ? cap : w->cap;
    }
    if (!kept || w->n == w->cap)
        return err_set(e, ERR_NOMEM, "no memory for the command");
    w->item[w->n++] = kept;
    return 0;
}

void script_init(struct script *s, const char *text, struct arena *a)
{
    *s = (struct script){ .at = text, .line = 1, .arena = a };
}

static size_t name_length(const char *s)
{
    size_t n = 0;

    if (isdigit((unsigned char)*s))
        return 0;
    while (s[n] == '_' || isalnum((unsigned char)s[n]))
        n++;
    return n < NAME_MAX_BYTES ? n : 0;
}

const char *script_variable(const struct script *s, const char *name, size_t len)
{
    char copy[NAME_MAX_BYTES];

    for (size_t i = s->variables.n; i > 0; i--) /* the latest of a name counts */
        if (!strncmp(s->variables.item[i - 1], name, len) && s->variables.item[i - 1][len] == '=')
            return s->variables.item[i - 1] + len + 1;
    if (len >= sizeof copy)
        return NULL;
    memcpy(copy, name, len);
    copy[len] = '\0';
    return getenv(copy);
}

/* Of a mark at the end of a line that goes on: how long both are; 0 where it is none.  PowerShell's
 * and cmd's are taken too, between words. */
static size_t goes_on(const char *s)
{
    if (*s != '\\' && *s != '`' && *s != '^')
        return 0;
    return s[1] == '\n' ? 2 : !strncmp(s + 1, "\r\n", 2) ? 3 : 0;
}

/* --- one word --- */

static int wrong(const struct script *s, int code, const char *what, struct err *e)
{
    return err_set(e, code, "line %zu: %s", s->line, what);
}

/* What $ begins: NAME, {NAME}, or the one command whose output everybody knows. */
static int expand(struct script *s, struct buf *word, struct err *e)
{
    const char *name = s->at + 1, *value;
    bool braced = *name == '{';
    size_t len;

    if (!strncmp(s->at, "$(pwd)", 6)) {
        s->at += 6;
        value = getenv("PWD");
        buf_puts(word, value ? value : ".");
        return 0;
    }
    if (*name == '(')
        return wrong(s, ERR_UNSUPPORTED, "no command is run here: write what $(...) would give", e);
    name += braced;
    len = name_length(name);
    if (!len && !braced) {
        buf_putc(word, *s->at++); /* a $ that means itself */
        return 0;
    }
    if (!len || (braced && name[len] != '}'))
        return wrong(s, ERR_UNSUPPORTED, "expected $NAME or ${NAME} behind a $", e);
    value = script_variable(s, name, len);
    if (value)
        buf_puts(word, value);
    else if (words_add(&s->unset, s->arena, name, len, e))
        return e->code;
    s->at = name + len + braced;
    return 0;
}

static int double_quoted(struct script *s, struct buf *word, struct err *e)
{
    for (s->at++; *s->at != '"';) {
        if (!*s->at)
            return wrong(s, ERR_FORMAT, "expected a closing \"", e);
        if (*s->at == '`')
            return wrong(s, ERR_UNSUPPORTED, "no command is run here: write what `...` would give",
                         e);
        if (*s->at == '$') {
            int rc = expand(s, word, e);

            if (rc)
                return rc;
            continue;
        }
        if (*s->at == '\\' && s->at[1] && strchr("\"\\$`\n", s->at[1])) {
            if (*++s->at == '\n')
                s->at++, s->line++;
            else
                buf_putc(word, *s->at++);
            continue;
        }
        s->line += *s->at == '\n';
        buf_putc(word, *s->at++);
    }
    s->at++;
    return 0;
}

static int single_quoted(struct script *s, struct buf *word, struct err *e)
{
    const char *end = strchr(s->at + 1, '\'');

    if (!end)
        return wrong(s, ERR_FORMAT, "expected a closing '", e);
    for (s->at++; s->at < end; s->at++) {
        s->line += *s->at == '\n';
        buf_putc(word, *s->at);
    }
    s->at = end + 1;
    return 0;
}

/* Up to a blank or what ends a command. */
static int read_word(struct script *s, struct buf *word, struct err *e)
{
    const char *home = getenv("HOME");
    int rc = 0;

    if (*s->at == '~' && (s->at[1] == '/' || strchr(" \t\n", s->at[1])) && home) {
        buf_puts(word, home);
        s->at++;
    }
    while (!rc && *s->at && !strchr(" \t\r\n;&|<>", *s->at)) {
        if (*s->at == '"') {
            rc = double_quoted(s, word, e);
        } else if (*s->at == '\'') {
            rc = single_quoted(s, word, e);
        } else if (*s->at == '$') {
            rc = expand(s, word, e);
        } else if (!strncmp(s->at, "`pwd`", 5)) {
            const char *here = getenv("PWD");

            buf_puts(word, here ? here : ".");
            s->at += 5;
        } else if (*s->at == '`') {
            rc =
                wrong(s, ERR_UNSUPPORTED, "no command is run here: write what `...` would give", e);
        } else if (*s->at == '\\' && goes_on(s->at)) {
            return 0; /* the line goes on, but the word ends where blanks follow */
        } else {
            s->at += *s->at == '\\' && s->at[1];
            buf_putc(word, *s->at++);
        }
    }
    return rc;
}

/* --- commands --- */

/* Blanks, lines that go on, comments; true at a word's beginning. */
static bool skip_blanks(struct script *s)
{
    for (;;) {
        if (*s->at == ' ' || *s->at == '\t' || *s->at == '\r') {
            s->at++;
        } else if (goes_on(s->at)) {
            s->at += goes_on(s->at);
            s->line++;
        } else if (*s->at == '#') {
            s->at += strcspn(s->at, "\n");
        } else {
            return *s->at && !strchr("\n;&|<>", *s->at);
        }
    }
}

static bool is_assignment(const char *word)
{
    size_t n = name_length(word);

    return n && word[n] == '=';
}

static int next_words(struct script *s, struct words *out, struct err *e)
{
    struct buf word = { 0 };
    int rc = 0;

    while (!rc && skip_blanks(s)) {
        buf_reset(&word);
        rc = read_word(s, &word, e);
        if (!rc && word.failed)
            rc = err_set(e, ERR_NOMEM, "no memory for the command");
        if (rc)
            break;
        if (!out->n && is_assignment(buf_str(&word)))
            rc = words_add(&s->variables, s->arena, buf_str(&word), word.len, e);
        else
            rc = words_add(out, s->arena, buf_str(&word), word.len, e);
    }
    buf_done(&word);
    return rc;
}

int script_next(struct script *s, struct words *out, struct err *e)
{
    while (*s->at) {
        int rc;

        *out = (struct words){ 0 };
        rc = next_words(s, out, e);
        if (rc)
            return rc;
        while (*s->at && strchr("\n;&|<>", *s->at)) { /* a redirection's file is a command then, */
            s->line += *s->at == '\n';                /* which is none of ours */
            s->at++;
        }
        if (out->n && !strcmp(out->item[0], "export")) {
            for (size_t i = 1; i < out->n; i++)
                if (is_assignment(out->item[i]) &&
                    words_add(&s->variables, s->arena, out->item[i], strlen(out->item[i]), e))
                    return e->code;
            continue;
        }
        if (out->n)
            return 0;
    }
    *out = (struct words){ 0 };
    return 0;
}
