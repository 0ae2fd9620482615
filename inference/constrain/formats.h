/* formats.h - JSON Schema's `format` as regular expressions (section 7.3 of the validation part).
 *
 * Where a format allows odd things, the expression is a part of it: all that is generated is valid.
 */
#ifndef AIRSTRIP_CONSTRAIN_FORMATS_H
#define AIRSTRIP_CONSTRAIN_FORMATS_H

/* The whole text matches it; NULL where the specification knows no such format: then the word is an
 * annotation. */
const char *format_pattern(const char *name);

#endif
