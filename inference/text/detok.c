/* Two stages: take_byte() makes whole characters of the bytes, release() looks for stop strings in
 * these.  As the first works byte by byte and the second on everything held, it cannot matter where
 * the tokens were cut. */
#include "inference/text/detok.h"

#include <string.h>

#include "inference/text/utf8_step.h"

void detok_init(struct detok *d, const struct tokenizer *t, const struct str *stops, size_t n_stops,
                bool continues)
{
    *d = (struct detok){
        .tokenizer = t,
        .stops = stops,
        .n_stops = n_stops,
        .strip_blank = !continues && tokenizer_strips_first_blank(t),
    };
}

/* Does a stop string stand at s, or (n bytes being all there is) could one? */
enum match { MATCH_NONE, MATCH_BEGUN, MATCH_WHOLE };

static enum match match_stops(const struct detok *d, const char *s, size_t n)
{
    enum match found = MATCH_NONE;

    for (size_t i = 0; !d->deaf && i < d->n_stops; i++) {
        struct str stop = d->stops[i];

        if (stop.len == 0 || *stop.data != *s)
            continue;
        if (stop.len <= n && memcmp(stop.data, s, stop.len) == 0)
            return MATCH_WHOLE;
        if (stop.len > n && memcmp(stop.data, s, n) == 0)
            found = MATCH_BEGUN;
    }
    return found;
}

/* Shows what may be shown of the held text; with `last`, nothing more will come. */
static void release(struct detok *d, struct buf *out, bool last)
{
    struct buf *held = &d->held;
    size_t i = 0;

    for (; i < held->len; i++) {
        enum match m = match_stops(d, held->data + i, held->len - i);

        /* From the left, so that the earliest stop wins: one that is only begun here hides later,
         * complete ones until it is decided. */
        d->stopped = m == MATCH_WHOLE;
        if (d->stopped || (m == MATCH_BEGUN && !last))
            break;
    }
    buf_put(out, held->data, i);
    if (held->failed)
        out->failed = true;
    if (d->stopped || i == held->len) {
        buf_reset(held);
    } else if (i > 0) {
        memmove(held->data, held->data + i, held->len - i + 1); /* with the NUL */
        held->len -= i;
    }
}

/* Takes one more byte of the stream: whole characters go to `held`. */
static void take_byte(struct detok *d, char byte)
{
    d->partial[d->n_partial++] = byte;
    /* The byte that proves a beginning wrong can itself begin a character: hence the loop. */
    while (d->n_partial > 0) {
        int step = utf8_step(d->partial, d->n_partial);
        size_t n;

        if (step == 0)
            return;
        n = step > 0 ? (size_t)step : (size_t)-step;
        if (step > 0)
            buf_put(&d->held, d->partial, n);
        else
            buf_puts(&d->held, "\xef\xbf\xbd");
        d->n_partial -= n;
        memmove(d->partial, d->partial + n, d->n_partial);
    }
}

/* No stop string reaches across it, and no character. */
static bool show_control(struct detok *d, int32_t id, struct buf *out)
{
    struct str text = tokenizer_piece(d->tokenizer, id, true);

    detok_finish(d, out);
    if (d->stopped)
        return true;
    buf_putc(out, '\xff');
    buf_put(out, text.data, text.len);
    buf_putc(out, '\xfe');
    return false;
}

bool detok_push(struct detok *d, int32_t id, struct buf *out)
{
    struct str piece = tokenizer_piece(d->tokenizer, id, false);

    if (d->show_control && !d->stopped && tokenizer_is_control(d->tokenizer, id))
        return show_control(d, id, out);
    if (d->stopped || piece.len == 0)
        return d->stopped;
    d->started = true;
    if (d->strip_blank && *piece.data == ' ') {
        piece.data++;
        piece.len--;
    }
    d->strip_blank = false;
    for (size_t i = 0; i < piece.len; i++)
        take_byte(d, piece.data[i]);
    release(d, out, false);
    return d->stopped;
}

void detok_finish(struct detok *d, struct buf *out)
{
    if (d->stopped)
        return;
    if (d->n_partial > 0)
        buf_puts(&d->held, "\xef\xbf\xbd");
    d->n_partial = 0;
    release(d, out, true);
}

void detok_done(struct detok *d)
{
    buf_done(&d->held);
    d->n_partial = 0;
}
