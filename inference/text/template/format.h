/* format.h - what str.format() and the % operator share: one value under a specification.
 */
#ifndef AIRSTRIP_TEMPLATE_FORMAT_H
#define AIRSTRIP_TEMPLATE_FORMAT_H

#include "inference/text/template/run.h"

enum { MAX_WIDTH = 4096, MAX_PRECISION = 200 };

/* [[fill]align][sign][#][0][width][,][.precision][type] */
struct spec {
    uint32_t fill;
    char align, sign, grouping, type;
    bool alternate;
    bool zero;   /* 0 in front of the width: zeros between sign and digits */
    bool digits; /* a precision of whole numbers means how many digits there are at least */
    int64_t width, precision; /* precision -1: none */
};

/* Reads a number, or one character out of a set, at *at of s and moves behind it. */
int64_t format_take_int(const struct tstr *s, size_t *at);
bool format_take(const struct tstr *s, size_t *at, const char *set, char *out);

int format_parse_spec(struct render *r, const struct tstr *s, struct spec *out) MUST_CHECK;
int format_put_number(struct render *r, struct tbuf *b, struct tval v,
                      const struct spec *sp) MUST_CHECK;

#endif
