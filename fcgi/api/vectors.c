#include "fcgi/api/vectors.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void vector_to_unit(float *x, size_t n)
{
    double squares = 0;

    for (size_t i = 0; i < n; i++)
        squares += (double)x[i] * (double)x[i];
    for (size_t i = 0; squares > 0 && i < n; i++)
        x[i] = (float)((double)x[i] / sqrt(squares));
}

/* Three bytes are four characters (RFC 4648, section 4). */
static void put_base64(struct buf *b, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        size_t some = n - i < 3 ? n - i : 3;
        uint32_t bits = 0;
        char out[4] = { '=', '=', '=', '=' };

        for (size_t k = 0; k < some; k++)
            bits |= (uint32_t)bytes[i + k] << (16 - 8 * k);
        for (size_t k = 0; k <= some; k++)
            out[k] = digits[bits >> (18 - 6 * k) & 63];
        buf_put(b, out, sizeof out);
    }
}

static void put_bytes(struct buf *b, const float *x, size_t n)
{
    unsigned char *bytes = malloc(4 * n + 1);

    if (!bytes) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], sizeof bits);
        for (size_t k = 0; k < 4; k++)
            bytes[4 * i + k] = (unsigned char)(bits >> 8 * k);
    }
    buf_putc(b, '"');
    put_base64(b, bytes, 4 * n);
    buf_putc(b, '"');
    free(bytes);
}

void vector_put(struct buf *b, const float *x, size_t n, bool base64)
{
    if (base64) {
        put_bytes(b, x, n);
        return;
    }
    buf_putc(b, '[');
    for (size_t i = 0; i < n; i++) /* nine digits bring a float32 back exactly */
        if (isfinite(x[i]))
            buf_printf(b, i ? ",%.9g" : "%.9g", (double)x[i]);
        else
            buf_puts(b, i ? ",null" : "null");
    buf_putc(b, ']');
}
