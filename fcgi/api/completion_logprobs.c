#include "fcgi/api/completion_logprobs.h"

#include <math.h>
#include <stdbool.h>

#include "fcgi/api/logprobs.h"
#include "kernels/base/json.h"

enum { TOKENS, LOGPROBS, TOPS, OFFSETS };

size_t count_chars(const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

/* Whole characters only, by the lengths that their first bytes say. */
static bool is_text(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;

        if (!n || n > len - i)
            return false;
        for (size_t k = 1; k < n; k++)
            if (((unsigned char)s[i + k] & 0xc0) != 0x80)
                return false;
        i += n;
    }
    return true;
}

static void put_token(struct buf *b, const struct token_logprob *t)
{
    const char *s = t->bytes ? t->bytes : "";

    if (is_text(s, t->n_bytes)) {
        json_write_string(b, s, t->n_bytes);
        return;
    }
    buf_puts(b, "\"bytes:");
    for (size_t i = 0; i < t->n_bytes; i++)
        buf_printf(b, "\\\\x%02x", (unsigned char)s[i]);
    buf_putc(b, '"');
}

static void put_top(struct buf *b, const struct token_logprob *t, bool comma)
{
    if (comma)
        buf_putc(b, ',');
    put_token(b, t);
    buf_putc(b, ':');
    logprobs_number(b, t->logprob);
}

/* t[0] is the token taken. */
static void put_tops(struct buf *b, const struct token_logprob *t, size_t width)
{
    bool there = width == 1; /* nobody wants alternatives */
    size_t n = 0;

    buf_putc(b, '{');
    for (size_t k = 1; k < width && t[k].id >= 0; k++, n++) {
        put_top(b, &t[k], n > 0);
        there |= t[k].id == t[0].id;
    }
    if (!there)
        put_top(b, t, n > 0);
    buf_putc(b, '}');
}

size_t completion_lists_add(struct buf *lists, const struct event *ev, int top, size_t offset)
{
    size_t width = 1 + (size_t)top;

    for (size_t i = 0; i < ev->n_logprobs; i++) {
        const struct token_logprob *t = ev->logprobs + i * width;
        bool first = isnan(t->logprob);

        for (int k = 0; lists[TOKENS].len && k < COMPLETION_LISTS; k++)
            buf_putc(&lists[k], ',');
        buf_printf(&lists[OFFSETS], "%zu", offset);
        put_token(&lists[TOKENS], t);
        if (first) {
            buf_puts(&lists[LOGPROBS], "null");
            buf_puts(&lists[TOPS], "null");
        } else {
            logprobs_number(&lists[LOGPROBS], t->logprob);
            put_tops(&lists[TOPS], t, width);
        }
        offset += count_chars(t->bytes ? t->bytes : "", t->n_bytes);
    }
    return offset;
}

void completion_lists_put(struct buf *b, const struct buf *lists)
{
    buf_printf(b, "{\"tokens\":[%s],", buf_str(&lists[TOKENS]));
    buf_printf(b, "\"token_logprobs\":[%s],", buf_str(&lists[LOGPROBS]));
    buf_printf(b, "\"top_logprobs\":[%s],", buf_str(&lists[TOPS]));
    buf_printf(b, "\"text_offset\":[%s]}", buf_str(&lists[OFFSETS]));
}
