#include "fcgi/trace.h"

#include <stddef.h>
#include <string.h>

#define DIGITS "0123456789abcdef"

enum { ID_AT = 3, PARENT_AT = 36, FLAGS_AT = 53, LENGTH = 55 };

static bool is_hex(const char *s, size_t n)
{
    return strspn(s, DIGITS) >= n;
}

static bool is_zero(const char *s, size_t n)
{
    return strspn(s, "0") >= n;
}

/* Later versions may be longer, from the end of version 0's on, with another '-'. */
static bool is_well_formed(const char *s)
{
    size_t len = strlen(s);

    if (len < LENGTH || !is_hex(s, 2) || !strncmp(s, "ff", 2))
        return false;
    if (len > LENGTH && (!strncmp(s, "00", 2) || s[LENGTH] != '-'))
        return false;
    return s[2] == '-' && s[PARENT_AT - 1] == '-' && s[FLAGS_AT - 1] == '-' &&
           is_hex(s + ID_AT, 32) && is_hex(s + PARENT_AT, 16) && is_hex(s + FLAGS_AT, 2) &&
           !is_zero(s + ID_AT, 32) && !is_zero(s + PARENT_AT, 16);
}

void trace_read(struct trace *t, const char *traceparent)
{
    *t = (struct trace){ 0 };
    if (!traceparent || !is_well_formed(traceparent))
        return;
    memcpy(t->id, traceparent + ID_AT, 32);
    memcpy(t->parent, traceparent + PARENT_AT, 16);
}
