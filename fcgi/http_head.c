#include "fcgi/http_head.h"

#include <stdio.h>
#include <string.h>

bool http_head_is_whole(const char *bytes, size_t len)
{
    return memmem(bytes, len, "\n\r\n", 3) || memmem(bytes, len, "\n\n", 2);
}

/* The next word of the line, ended by a blank; false where there is none. */
static bool take_word(const char **at, const char *end, const char **word, size_t *n)
{
    const char *blank = memchr(*at, ' ', (size_t)(end - *at));

    if (!blank || blank == *at)
        return false;
    *word = *at;
    *n = (size_t)(blank - *at);
    *at = blank + 1;
    return true;
}

static bool is_visible(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] == 0x7f)
            return false;
    return true;
}

bool http_head_read(struct http_head *h, const char *bytes, size_t len)
{
    const char *end = memchr(bytes, '\n', len), *at = bytes, *method, *uri;
    size_t n_method, n_uri;

    if (!end || !take_word(&at, end, &method, &n_method) || !take_word(&at, end, &uri, &n_uri))
        return false;
    if (end - at < 7 || memcmp(at, "HTTP/1.", 7) || !is_visible(method, n_method) ||
        !is_visible(uri, n_uri))
        return false;
    if (n_method > sizeof h->method - 16 || n_uri > sizeof h->uri - 16)
        return false;
    snprintf(h->method, sizeof h->method, "REQUEST_METHOD=%.*s", (int)n_method, method);
    snprintf(h->uri, sizeof h->uri, "REQUEST_URI=%.*s", (int)n_uri, uri);
    h->params[0] = h->method;
    h->params[1] = h->uri;
    h->params[2] = NULL;
    return true;
}
