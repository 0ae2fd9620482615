#include "kernels/base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

/* Puts the decimal point of d.ddd * 10^exponent (n digits, given without one) where Python's repr()
 * does: plain from 1e-4 up to below 1e16, else d.ddde+XX.  out: at least n + 8 bytes. */
static void place_point(char *out, const char *digits, int n, int exponent)
{
    bool scientific = exponent < -4 || exponent >= 16;
    int point = scientific ? 1 : exponent + 1, i; /* digits in front of the point */

    if (point <= 0) {
        *out++ = '0';
        *out++ = '.';
        for (i = point; i < 0; i++)
            *out++ = '0';
    }
    for (i = 0; i < n || (!scientific && i <= point); i++) {
        if (i == point && i)
            *out++ = '.';
        *out++ = i < n ? digits[i] : '0';
    }
    *out = '\0';
    if (scientific)
        snprintf(out, 6, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent) % 1000);
}

void json_format_double(char out[JSON_DOUBLE_BYTES], double d)
{
    char text[40], digits[24];
    int precision, n = 0, exponent;

    if (!isfinite(d)) {
        strcpy(out, isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
        return;
    }
    for (precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, d);
        if (strtod(text, NULL) == d)
            break;
    }
    if (text[0] == '-')
        *out++ = '-';
    for (const char *p = text; *p && *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    }
    digits[n] = '\0';
    exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    place_point(out, digits, n, exponent);
}

static void write_char(struct buf *b, uint32_t cp, const char *s, size_t n)
{
    switch (cp) {
    case '"':
        buf_puts(b, "\\\"");
        break;
    case '\\':
        buf_puts(b, "\\\\");
        break;
    case '\b':
        buf_puts(b, "\\b");
        break;
    case '\f':
        buf_puts(b, "\\f");
        break;
    case '\n':
        buf_puts(b, "\\n");
        break;
    case '\r':
        buf_puts(b, "\\r");
        break;
    case '\t':
        buf_puts(b, "\\t");
        break;
    default:
        if (cp < 0x20)
            buf_printf(b, "\\u%04x", (unsigned)cp);
        else if (n == 0)
            buf_puts(b, "\xef\xbf\xbd");
        else
            buf_put(b, s, n);
    }
}

void json_write_string(struct buf *b, const char *s, size_t len)
{
    size_t i = 0, start = 0;

    buf_putc(b, '"');
    while (i < len) {
        uint32_t cp;
        size_t n = utf8_decode(s + i, len - i, &cp);

        if (n && cp >= 0x20 && cp != '"' && cp != '\\') {
            i += n; /* as it is: put in one go with its neighbours */
            continue;
        }
        buf_put(b, s + start, i - start);
        write_char(b, cp, s + i, n);
        i += n ? n : 1;
        start = i;
    }
    buf_put(b, s + start, len - start);
    buf_putc(b, '"');
}

/* Recursion is as deep as the tree: json_parse() bounds it, and code that builds trees builds flat
 * ones. */
void json_write(struct buf *b, const struct value *v)
{
    char number[JSON_DOUBLE_BYTES];

    switch (v->kind) {
    case VALUE_NULL:
        buf_puts(b, "null");
        break;
    case VALUE_BOOL:
        buf_puts(b, v->boolean ? "true" : "false");
        break;
    case VALUE_INT:
        buf_printf(b, "%" PRId64, v->integer);
        break;
    case VALUE_FLOAT:
        json_format_double(number, v->number);
        buf_puts(b, isfinite(v->number) ? number : "null");
        break;
    case VALUE_STRING:
        json_write_string(b, v->string.data, v->string.len);
        break;
    case VALUE_LIST:
        buf_putc(b, '[');
        for (size_t i = 0; i < v->list.len; i++) {
            if (i)
                buf_putc(b, ',');
            json_write(b, v->list.items[i]);
        }
        buf_putc(b, ']');
        break;
    case VALUE_MAP:
        buf_putc(b, '{');
        for (size_t i = 0; i < v->map.len; i++) {
            if (i)
                buf_putc(b, ',');
            json_write_string(b, v->map.pairs[i].key, v->map.pairs[i].key_len);
            buf_putc(b, ':');
            json_write(b, v->map.pairs[i].value);
        }
        buf_putc(b, '}');
        break;
    }
}
