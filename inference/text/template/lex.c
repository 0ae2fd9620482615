/* How Jinja cuts a template (its Lexer with trim_blocks and lstrip_blocks):
 * - a tag with a minus takes all blanks on that side, one with a plus leaves them;
 * - otherwise blanks between the start of a line and {% or {# go, and so does one newline after %}
 * or #};
 * - inside a tag, an end mark does not count while a bracket is open: {{ {'a': {}} }}. */
#include "inference/text/template/lexer.h"

#include <stdio.h>
#include <string.h>

#include "inference/text/template/char.h"
#include "kernels/base/utf8.h"

enum { MAX_TEMPLATE_BYTES = 1 << 20 };

void template_position(const struct template *t, size_t at, unsigned *line, unsigned *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at && i < t->len; i++) {
        if (t->source[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)t->source[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

int template_error(const struct template *t, size_t at, struct err *e, const char *fmt, ...)
{
    char text[sizeof e->text];
    unsigned line, column;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    template_position(t, at, &line, &column);
    err_set(e, ERR_FORMAT, "template line %u, column %u: ", line, column);
    if (e) {
        size_t used = strlen(e->text);

        snprintf(e->text + used, sizeof e->text - used, "%s", text);
    }
    return ERR_FORMAT;
}

int lexer_no_memory(struct lexer *x)
{
    return err_set(x->e, ERR_NOMEM, "no memory for a template of %zu bytes", x->len);
}

int lexer_push(struct lexer *x, enum token_kind kind, size_t at, const char *text, size_t len)
{
    if (x->n == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 64;
        struct token *p = arena_array(x->scratch, cap, sizeof *p);

        if (!p)
            return lexer_no_memory(x);
        if (x->n)
            memcpy(p, x->tokens, x->n * sizeof *p);
        x->tokens = p;
        x->cap = cap;
    }
    x->tokens[x->n++] =
        (struct token){ .kind = kind, .at = (uint32_t)at, .text = text, .len = len };
    return 0;
}

bool lexer_at(const struct lexer *x, size_t pos, const char *mark)
{
    size_t n = strlen(mark);

    return pos <= x->len && x->len - pos >= n && memcmp(x->src + pos, mark, n) == 0;
}

size_t lexer_skip_blanks(const struct lexer *x, size_t pos)
{
    while (pos < x->len) {
        uint32_t c;
        size_t n = utf8_decode(x->src + pos, x->len - pos, &c);

        if (!n || !char_is_space(c))
            break;
        pos += n;
    }
    return pos;
}

/* End of [start, end) without the blanks at its end. */
static size_t rstrip(const struct lexer *x, size_t start, size_t end)
{
    while (end > start) {
        size_t at = end - 1, n;
        uint32_t c;

        while (at > start && ((unsigned char)x->src[at] & 0xc0) == 0x80)
            at--;
        n = utf8_decode(x->src + at, end - at, &c);
        if (n != end - at || !char_is_space(c))
            break;
        end = at;
    }
    return end;
}

/* The text in front of a tag; sign is what follows the tag's opening mark. */
static int push_data(struct lexer *x, size_t start, size_t end, char sign, bool is_print)
{
    if (sign == '-') {
        end = rstrip(x, start, end);
    } else if (sign != '+' && !is_print) {
        size_t line = end;

        while (line > start && x->src[line - 1] != '\n')
            line--;
        if ((line > start || x->line_starting) && rstrip(x, line, end) == line)
            end = line;
    }
    return end > start ? lexer_push(x, TOKEN_DATA, start, x->src + start, end - start) : 0;
}

/* Moves pos behind the end mark at pos: "-%}" takes the blanks behind it, "%}" one newline, "+%}"
 * nothing. */
static bool end_mark(struct lexer *x, const char *mark, bool trims)
{
    size_t pos = x->pos;
    bool minus = lexer_at(x, pos, "-"), plus = trims && lexer_at(x, pos, "+");

    if (minus || plus)
        pos++;
    if (!lexer_at(x, pos, mark))
        return false;
    pos += strlen(mark);
    if (minus)
        pos = lexer_skip_blanks(x, pos);
    else if (trims && !plus && lexer_at(x, pos, "\n"))
        pos++;
    x->pos = pos;
    x->line_starting = x->src[pos - 1] == '\n';
    return true;
}

static int lex_comment(struct lexer *x, size_t start)
{
    if (x->pos == x->len) /* Jinja sees none at the very end */
        return 0;
    for (; x->pos < x->len; x->pos++) {
        if (end_mark(x, "#}", true))
            return 0;
    }
    return template_error(x->t, start, x->e, "the comment that starts here does not end");
}

/* At "{%": is this {% raw %}?  Then *inside is where its text starts. */
static bool at_raw(const struct lexer *x, size_t pos, size_t *inside)
{
    pos += 2;
    if (lexer_at(x, pos, "-") || lexer_at(x, pos, "+"))
        pos++;
    pos = lexer_skip_blanks(x, pos);
    if (!lexer_at(x, pos, "raw"))
        return false;
    pos = lexer_skip_blanks(x, pos + 3);
    if (lexer_at(x, pos, "-%}"))
        *inside = lexer_skip_blanks(x, pos + 3);
    else if (lexer_at(x, pos, "%}"))
        *inside = pos + 2;
    else
        return false;
    return true;
}

/* At a "{%": is it {% endraw %}?  Then x->pos is behind it, and *sign is what followed the "{%". */
static bool at_endraw(struct lexer *x, size_t at, char *sign)
{
    if (!lexer_at(x, at, "{%"))
        return false;
    *sign = at + 2 < x->len ? x->src[at + 2] : '\0';
    x->pos = lexer_skip_blanks(x, at + 2 + (*sign == '-' || *sign == '+'));
    if (!lexer_at(x, x->pos, "endraw"))
        return false;
    x->pos = lexer_skip_blanks(x, x->pos + 6);
    return end_mark(x, "%}", true);
}

static int lex_raw(struct lexer *x, size_t start)
{
    size_t text = x->pos;
    char sign = '\0';

    for (size_t at = text; at < x->len; at++) {
        bool line_starting = x->line_starting, after;
        int rc;

        if (!at_endraw(x, at, &sign))
            continue;
        after = x->line_starting;
        x->line_starting = line_starting; /* for the text in front of the tag */
        rc = push_data(x, text, at, sign, false);
        x->line_starting = after;
        return rc;
    }
    return template_error(x->t, start, x->e, "the raw block that starts here does not end");
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* What stands between {{ and }}, or {% and %}. */
static int lex_tag(struct lexer *x, size_t start, bool is_print)
{
    TRY(lexer_push(x, is_print ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN, start, x->src + start, 2));
    x->n_brackets = 0;
    for (;;) {
        size_t at = x->pos;
        char c;

        if (x->n_brackets == 0 && end_mark(x, is_print ? "}}" : "%}", !is_print))
            return lexer_push(x, is_print ? TOKEN_PRINT_END : TOKEN_BLOCK_END, at, "end of tag",
                              10);
        at = lexer_skip_blanks(x, at);
        if (at != x->pos) {
            x->pos = at;
            continue;
        }
        if (at >= x->len)
            return template_error(x->t, start, x->e, "the tag that starts here does not end");
        c = x->src[at];
        if (c >= '0' && c <= '9') {
            TRY(lex_number(x));
        } else if (is_name_char(c)) {
            while (x->pos < x->len && is_name_char(x->src[x->pos]))
                x->pos++;
            TRY(lexer_push(x, TOKEN_NAME, at, x->src + at, x->pos - at));
        } else if (c == '\'' || c == '"') {
            TRY(lex_string(x));
        } else {
            TRY(lex_operator(x));
        }
    }
}

static int lex_root(struct lexer *x)
{
    while (x->pos < x->len) {
        size_t start = x->pos, at = start, inside;
        char kind, sign;

        while (at < x->len &&
               !(x->src[at] == '{' && at + 1 < x->len &&
                 (x->src[at + 1] == '{' || x->src[at + 1] == '%' || x->src[at + 1] == '#')))
            at++;
        if (at == x->len) {
            x->pos = at;
            return lexer_push(x, TOKEN_DATA, start, x->src + start, at - start);
        }
        kind = x->src[at + 1];
        sign = at + 2 < x->len ? x->src[at + 2] : '\0';
        TRY(push_data(x, start, at, sign, kind == '{'));
        x->pos = at + 2 + (sign == '-' || sign == '+');
        if (kind == '#') {
            TRY(lex_comment(x, at));
        } else if (kind == '%' && at_raw(x, at, &inside)) {
            x->pos = inside;
            x->line_starting = x->src[inside - 1] == '\n';
            TRY(lex_raw(x, at));
        } else {
            TRY(lex_tag(x, at, kind == '{'));
        }
    }
    return 0;
}

/* "\r\n" and "\r" become "\n"; one newline at the very end goes. */
static int copy_source(struct template *t, const char *src, size_t len, struct err *e)
{
    char *copy;
    size_t n = 0;

    if (len > MAX_TEMPLATE_BYTES)
        return err_set(e, ERR_LIMIT, "a template of %zu bytes; at most %d are accepted", len,
                       MAX_TEMPLATE_BYTES);
    copy = arena_alloc(&t->arena, len + 1);
    if (!copy)
        return err_set(e, ERR_NOMEM, "no memory for a template of %zu bytes", len);
    for (size_t i = 0; i < len; i++) {
        if (src[i] == '\r') {
            copy[n++] = '\n';
            if (i + 1 < len && src[i + 1] == '\n')
                i++;
        } else {
            copy[n++] = src[i];
        }
    }
    if (n && copy[n - 1] == '\n')
        n--;
    copy[n] = '\0';
    t->source = copy;
    t->len = n;
    return 0;
}

int template_lex(struct template *t, const char *src, size_t len, struct arena *scratch,
                 struct token **out, struct err *e)
{
    struct lexer x = { .t = t, .scratch = scratch, .line_starting = true, .e = e };
    int rc = copy_source(t, src, len, e);

    if (rc)
        return rc;
    x.src = t->source;
    x.len = t->len;
    rc = lex_root(&x);
    if (rc == 0)
        rc = lexer_push(&x, TOKEN_END, t->len, "end of template", 15);
    *out = x.tokens;
    return rc;
}
