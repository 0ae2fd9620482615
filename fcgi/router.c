/* A table walked from its top: a dozen routes need nothing faster. */
#include "fcgi/router.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/cors.h"

/* Whether pattern matches path; *tail is what its {name} stands for, or "". */
static bool matches(const char *pattern, const char *path, const char **tail)
{
    size_t fixed = strcspn(pattern, "{");

    *tail = "";
    if (!pattern[fixed])
        return !strcmp(pattern, path);
    if (strncmp(pattern, path, fixed) || !path[fixed])
        return false;
    *tail = path + fixed;
    return true;
}

/* Methods are case-sensitive (RFC 9110 section 9.1). */
static bool method_matches(const char *wanted, const char *method)
{
    return !strcmp(wanted, method) || (!strcmp(wanted, "GET") && !strcmp(method, "HEAD"));
}

/* Methods that `path` answers, as Allow wants them: "GET, HEAD, OPTIONS"; "" when the path is
 * unknown. */
static void list_methods(const struct route *table, const char *path, struct buf *b)
{
    const char *tail;

    for (const struct route *t = table; t->path; t++)
        if (matches(t->path, path, &tail)) {
            buf_printf(b, "%s, ", t->method);
            if (!strcmp(t->method, "GET"))
                buf_puts(b, "HEAD, ");
        }
    if (b->len)
        buf_puts(b, "OPTIONS");
}

static void answer_options(const char *cors_origin, const char *methods, const struct request *r,
                           struct reply *p)
{
    p->status = 204;
    reply_header(p, "Allow", methods);
    if (cors_origin)
        cors_answer(methods, r, p);
}

const struct route *router_find(const struct route *table, const char *cors_origin,
                                struct request *r, struct reply *p)
{
    char message[400];
    struct buf methods = { 0 };

    for (const struct route *t = table; t->path; t++)
        if (matches(t->path, r->path, &r->tail) && method_matches(t->method, r->method))
            return t;
    r->tail = "";
    list_methods(table, r->path, &methods);
    if (!methods.len) {
        snprintf(message, sizeof message, "Unknown path: %.200s", r->path);
        reply_error(p, 404, "invalid_request_error", "not_found", NULL, message, 0);
    } else if (!strcmp(r->method, "OPTIONS")) {
        answer_options(cors_origin, methods.data, r, p);
    } else {
        snprintf(message, sizeof message, "%.200s does not answer %.40s; it answers %.100s",
                 r->path, r->method, methods.data);
        reply_header(p, "Allow", methods.data);
        reply_error(p, 405, "invalid_request_error", "method_not_allowed", NULL, message, 0);
    }
    buf_done(&methods);
    return NULL;
}
