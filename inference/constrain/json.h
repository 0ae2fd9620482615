/* json.h - JSON texts as grammar: what all schemas are put together from.
 *
 * White space and digits are bounded, so that nothing but strings, lists and objects can go on for
 * ever. Two styles of strings: free ones may escape any character, as JSON allows; those that are
 * compared with something (texts, patterns, lengths) have one way of writing each (CHARS_QUOTED).
 * One thread at a time. */
#ifndef AIRSTRIP_CONSTRAIN_JSON_H
#define AIRSTRIP_CONSTRAIN_JSON_H

#include "inference/constrain/chars.h"
#include "kernels/base/value.h"

enum {
    JSON_DIGITS = 16, /* before the point, and behind it */
    JSON_INDENT = 20, /* blanks or tabs after a newline */
    JSON_BLOCK = 128, /* characters: longer strings are counted by so many */
};

/* Nodes, each of which may be used any number of times. */
struct json {
    struct grammar *g;
    int32_t space; /* none, one blank, or a newline and an indentation */
    int32_t null, boolean, integer, number, string, array, object;
    int32_t value;       /* any of these */
    int32_t character;   /* of a string, CHARS_QUOTED */
    int32_t block, part; /* JSON_BLOCK characters; fewer */
};

void json_init(struct json *j, struct grammar *g);

/* A string of these characters (a node without quotes). */
int32_t json_quoted(struct json *j, int32_t characters);

/* min .. max characters (GRAMMAR_UNBOUNDED: any number).  `flat`: without calls. */
int32_t json_characters(struct json *j, size_t min, size_t max, bool flat);

/* This string; this value. */
int32_t json_text(struct json *j, const char *s, size_t len);
int32_t json_literal(struct json *j, const struct value *v);

/* The colon between a key and its value, the comma between two items: with their white space. */
int32_t json_colon(struct json *j);
int32_t json_comma(struct json *j);

/* open, then first (items with their commas; may be "" where `empty`), then close. */
int32_t json_braced(struct json *j, const char *open, int32_t items, bool empty, const char *close);

#endif
