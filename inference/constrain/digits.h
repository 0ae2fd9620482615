/* digits.h - decimal numbers within bounds, compared digit by digit.
 *
 * One thread at a time. */
#ifndef AIRSTRIP_CONSTRAIN_DIGITS_H
#define AIRSTRIP_CONSTRAIN_DIGITS_H

#include "inference/constrain/grammar.h"
#include "kernels/base/value.h"

enum {
    DIGITS_MAX = 400, /* of a double, before or behind the point */
    /* Significant digits of a number that is compared: as many as any double tells apart, so that
     * who reads the text as a double finds the same order. */
    DIGITS_SIGNIFICANT = 15,
};

struct decimal {
    bool negative;
    size_t n_whole, n_part;
    char whole[DIGITS_MAX], part[DIGITS_MAX]; /* as characters; whole without leading zeros but "0",
                                                 part without trailing ones */
};

/* v is VALUE_INT or a finite VALUE_FLOAT: its shortest decimal. */
void decimal_of(struct decimal *d, const struct value *v);
int decimal_compare(const struct decimal *a, const struct decimal *b);

struct bound {
    bool set, exclusive;
    struct decimal at;
};

/* All integers (or numbers without exponent) between the bounds, with at least JSON_DIGITS digits
 * allowed where there is no bound. */
int32_t digits_between(struct grammar *g, const struct bound *lo, const struct bound *hi,
                       bool integer);

enum { DIGITS_MAX_DIVISOR = 2000 };

/* All integers that are multiples of m, 0 < m <= DIGITS_MAX_DIVISOR. */
int32_t digits_multiples(struct grammar *g, unsigned m);

#endif
