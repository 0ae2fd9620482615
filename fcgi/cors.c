/* A single origin is sent whoever asks: it depends on nothing, so caches need not be told. */
#include "fcgi/cors.h"

#include <string.h>

/* The one of several that is the request's own. */
static const char *pick(const char *allowed, struct request *r)
{
    const char *origin = request_header(r, "origin");
    size_t wanted = origin ? strlen(origin) : 0, len;

    for (const char *s = allowed; wanted && *s; s += len) {
        s += strspn(s, ", ");
        len = strcspn(s, ", ");
        if (len == wanted && !memcmp(s, origin, len))
            return origin;
    }
    return NULL;
}

const char *cors_begin(const char *allowed, struct request *r, struct reply *p)
{
    if (!allowed)
        return NULL;
    if (strpbrk(allowed, ", ")) {
        reply_header(p, "Vary", "Origin");
        allowed = pick(allowed, r);
    }
    if (!allowed)
        return NULL;
    reply_header(p, "Access-Control-Allow-Origin", allowed);
    reply_header(p, "Access-Control-Expose-Headers", "x-request-id, Retry-After");
    return allowed;
}

/* Browsers ask before they send JSON or a key to another site; what they want to send is allowed.
 */
void cors_answer(const char *methods, const struct request *r, struct reply *p)
{
    const char *wanted = request_header(r, "access-control-request-headers");

    reply_header(p, "Access-Control-Allow-Methods", methods);
    reply_header(p, "Access-Control-Allow-Headers",
                 wanted && *wanted ? wanted : "Authorization, Content-Type");
    reply_header(p, "Access-Control-Max-Age", "86400");
}
