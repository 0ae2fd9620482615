/* formats.h - JSON Schema's `format` as regular expressions (section 7.3 of the validation part).
 *
 * Where a format allows odd things, the expression is a part of it: all that is generated is valid.
 */
#ifndef AIRSTRIP_CONSTRAIN_FORMATS_H
#define AIRSTRIP_CONSTRAIN_FORMATS_H

#include <stdbool.h>

/* The whole text matches it; NULL where there is none. */
const char *format_pattern(const char *name);

/* Is it a format of the specification for which there is no expression?  (Others are annotations.)
 */
bool format_is_refused(const char *name);

#endif
