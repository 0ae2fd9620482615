/* json.h - JSON text to a value tree (through json-c) and back.
 *
 * Any thread. */
#ifndef AIRSTRIP_JSON_H
#define AIRSTRIP_JSON_H

#include "kernels/base/buf.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

enum {
    JSON_MAX_DEPTH = 1000, /* the deepest nesting that can be asked for */
    JSON_DOUBLE_BYTES = 32,
};

/* Parses exactly one JSON text (RFC 8259: strict, UTF-8 checked, nothing after it) into *out.
 * max_depth bounds nesting (1 .. JSON_MAX_DEPTH).  Integers that fit int64 stay integers, other
 * numbers are doubles; one that overflows a double is an error.  A lone surrogate becomes U+FFFD.
 * A key given twice keeps its first place and its last value.
 * Errors: ERR_FORMAT with the byte offset and what was wrong; ERR_LIMIT for nesting deeper than
 * max_depth; ERR_NOMEM when the arena is full, or when json-c's own tree would be larger than both
 * what is left of the arena's limit and 8 MiB. */
int json_parse(const char *text, size_t len, int max_depth, struct arena *a, struct value **out,
               struct err *e) MUST_CHECK;

/* Appends compact JSON.  Non-finite numbers are written as null.  Strings that are not UTF-8 get
 * U+FFFD in place of each bad byte. */
void json_write(struct buf *b, const struct value *v);

/* The shortest decimal that reads back as d, as Python's repr() writes it: 1.0, 1e-07, 1e+16; inf,
 * nan. */
void json_format_double(char out[JSON_DOUBLE_BYTES], double d);

/* Appends one JSON string, with its quotes; same rule for bad bytes. */
void json_write_string(struct buf *b, const char *s, size_t len);

#endif
