/* regex.h - regular expressions, as far as they are regular: the common ground of ECMA-262 and
 * PCRE.
 *
 * Literals, ., [classes], escapes (\d \w \s and their opposites, \t \n \r \f \v \0 \xHH \uHHHH
 * \u{H}), groups, |, * + ? {m,n}, lazy or not, and ^ $ at the ends.  Everything else (look-around,
 * references, word boundaries, \p, flags) is refused by name and position: nothing is approximated.
 */
#ifndef AIRSTRIP_CONSTRAIN_REGEX_H
#define AIRSTRIP_CONSTRAIN_REGEX_H

#include "inference/constrain/chars.h"

enum regex_reach {
    REGEX_WHOLE, /* the text is a match */
    REGEX_FIND,  /* the text has a match in it, but for ^ and $ (JSON Schema's pattern) */
};

/* *out: the node of all texts that fit.  Errors: ERR_INVALID (not a regular expression) and
 * ERR_UNSUPPORTED, with the position in characters. */
int regex_node(struct grammar *g, const char *pattern, size_t len, enum regex_reach reach,
               enum char_style style, int32_t *out, struct err *e) MUST_CHECK;

#endif
