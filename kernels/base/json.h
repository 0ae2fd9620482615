/* json.h - JSON text to a value tree (through json-c) and back.
 *
 * Any thread. */
#ifndef AIRSTRIP_JSON_H
#define AIRSTRIP_JSON_H

#include "kernels/base/buf.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

/* Parses exactly one JSON text (RFC 8259: strict, UTF-8 checked, nothing after it) into *out.
 * max_depth bounds nesting.  Integers that fit int64 stay integers, other numbers are doubles.
 * Errors: ERR_FORMAT with the byte offset and what was wrong; ERR_LIMIT for nesting deeper than
 * max_depth; ERR_NOMEM when the arena is full. */
int json_parse(const char *text, size_t len, int max_depth, struct arena *a, struct value **out,
               struct err *e) MUST_CHECK;

/* Appends compact JSON.  Non-finite numbers are written as null.  Strings that are not UTF-8 get
 * U+FFFD in place of each bad byte. */
void json_write(struct buf *b, const struct value *v);

/* Appends one JSON string, with its quotes; same rule for bad bytes. */
void json_write_string(struct buf *b, const char *s, size_t len);

#endif
