/* trace.h - W3C Trace Context: the traceparent header, for the log. */
#ifndef AIRSTRIP_TRACE_H
#define AIRSTRIP_TRACE_H

#include <stdbool.h>

struct trace {
    char id[33], parent[17]; /* lower-case hexadecimal digits; "": there is none */
};

/* "00-<32 digits>-<16 digits>-<2 digits>" (W3C Trace Context, section 3.2.2); NULL is fine.  What
 * is malformed, or all zeros, counts as absent. */
void trace_read(struct trace *t, const char *traceparent);

#endif
