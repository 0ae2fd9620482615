/* answer.c - what came back, looked at; apart from ask.c so that answers can be made up. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "doctor/ask.h"

void answer_done(struct answer *a)
{
    buf_done(&a->head);
    buf_done(&a->body);
}

/* Printable only: it goes into sentences. */
static void copy_value(char *out, size_t size, const char *from, size_t len)
{
    size_t used = 0;

    for (size_t i = 0; i < len && used + 1 < size; i++)
        if (from[i] >= ' ' && from[i] < 0x7f)
            out[used++] = from[i];
    out[used] = '\0';
}

size_t answer_header(const struct answer *a, const char *name, char *out, size_t size)
{
    size_t n = strlen(name), found = 0;

    *out = '\0';
    for (const char *line = buf_str(&a->head); *line;) {
        size_t len = strcspn(line, "\r\n");

        if (len > n && line[n] == ':' && !strncasecmp(line, name, n)) {
            size_t skip = n + 1 + strspn(line + n + 1, " \t");

            if (++found == 1)
                copy_value(out, size, line + skip, skip < len ? len - skip : 0);
        }
        line += len;
        line += strspn(line, "\r\n");
    }
    return found;
}

void answer_describe(const struct answer *a, char *out, size_t size)
{
    char type[60];

    if (!a->status) {
        snprintf(out, size, "no answer (%.150s)", a->said);
        return;
    }
    answer_header(a, "content-type", type, sizeof type);
    snprintf(out, size, "%ld%s%s%s", a->status, *type ? " with " : "", type,
             a->code == CURLE_OK ? "" : ", cut short");
}
