/* textops.h - what filters and methods do to strings, once for both. */
#ifndef AIRSTRIP_TEMPLATE_TEXTOPS_H
#define AIRSTRIP_TEMPLATE_TEXTOPS_H

#include "inference/text/template/run.h"

/* Upper and lower case, character by character (but German sharp s, which has no capital, becomes
 * SS). CASE_TITLE is str.title(): a word is letters; CASE_WORDS the filter: a word begins behind
 * blanks or - ( { [ <. */
enum text_case { CASE_UPPER, CASE_LOWER, CASE_CAPITALIZE, CASE_TITLE, CASE_WORDS, CASE_SWAP };
int text_case(struct render *r, const struct tstr *s, enum text_case c,
              struct tval *out) MUST_CHECK;

/* s.replace(old, new, count); count < 0: all.  Exact ranges where s is trusted. */
int text_replace(struct render *r, const struct tstr *s, const struct tstr *old,
                 const struct tstr *new, int64_t count, struct tval *out) MUST_CHECK;

/* sep.join(items); convert: items become strings, else they must be. */
int text_join(struct render *r, const struct tstr *sep, const struct tval *items, size_t n,
              bool convert, struct tval *out) MUST_CHECK;

/* Strips the characters of `chars` (blanks where NULL) from one or both ends. */
int text_strip(struct render *r, const struct tstr *s, const struct tstr *chars, bool left,
               bool right, struct tval *out) MUST_CHECK;

/* s.split(sep, max) and s.rsplit(): sep NULL means runs of blanks; max < 0 means no limit. */
int text_split(struct render *r, const struct tstr *s, const struct tstr *sep, int64_t max,
               bool from_right, struct tval *out) MUST_CHECK;

int text_lines(struct render *r, const struct tstr *s, bool keep_ends, struct tval *out) MUST_CHECK;

/* Fills up to width characters; where tells where the text stands: 'l', 'r', 'c' as str.center()
 * does, 'm' in the middle as format() does (they differ in who gets the odd one). */
int text_pad(struct render *r, const struct tstr *s, int64_t width, uint32_t fill, char where,
             struct tval *out) MUST_CHECK;

#endif
