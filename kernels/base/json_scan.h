/* json_scan.h - looks through a JSON text before json-c sees it; for json.c only.
 *
 * json-c leaves gaps that a server cannot have: it takes NaN, "1." and raw control characters,
 * clamps integers, takes pairs of surrogates whose character ends in D800 to DFFF (U+1D800) for
 * lone ones, cuts keys at a NUL, and builds trees hundreds of times as large as a hostile
 * text. The scan looks at tokens and nesting only; whether they stand in the right order is
 * json-c's business. */
#ifndef AIRSTRIP_JSON_SCAN_H
#define AIRSTRIP_JSON_SCAN_H

#include "kernels/base/buf.h"
#include "kernels/base/err.h"

struct json_scan {
    struct buf mended; /* the text with ".0" after each integer that does not fit int64, so that
                        * json-c reads it as a double, and escaped surrogate pairs as UTF-8; empty
                        * when there are none.  Free with buf_done(). */
    size_t cost_bytes; /* about what json-c's tree will take, from above */
};

/* Errors: ERR_FORMAT with the byte offset, ERR_LIMIT for nesting deeper than max_depth, ERR_NOMEM.
 * *s is to be freed either way. */
int json_scan(struct json_scan *s, const char *text, size_t len, int max_depth,
              struct err *e) MUST_CHECK;

#endif
