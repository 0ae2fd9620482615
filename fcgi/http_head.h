/* http_head.h - the first line of an HTTP request, as a FastCGI web server would have passed it on.
 *
 * For the side door only, which answers GET and HEAD of a few paths: headers are read over, bodies
 * never come. */
#ifndef AIRSTRIP_HTTP_HEAD_H
#define AIRSTRIP_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>

enum { HTTP_HEAD_MAX = 8192 };

struct http_head {
    char method[32], uri[1024]; /* "REQUEST_METHOD=GET", "REQUEST_URI=/status" */
    char *params[3];            /* both, and NULL */
};

/* Whether the bytes hold a whole head: everything up to an empty line (RFC 9112 section 2.1, where
 * a lone LF ends a line as well). */
bool http_head_is_whole(const char *bytes, size_t len);

/* Its request line (section 3): false where it is none of HTTP/1, or too long. */
bool http_head_read(struct http_head *h, const char *bytes, size_t len);

#endif
