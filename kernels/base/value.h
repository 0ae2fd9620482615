/* value.h - a tree of values as JSON and Jinja know them: null, booleans, numbers, strings, lists,
 * maps.
 *
 * How a request's messages, tools and template variables travel from the front door to the template
 * without either knowing the other.  Maps keep the order of insertion; a key put twice keeps its
 * first place and its last value. Everything lives in the arena it was made in; NULL from a
 * constructor means the arena is full. One thread at a time while a tree is being built; any number
 * may read one that is finished. */
#ifndef AIRSTRIP_VALUE_H
#define AIRSTRIP_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/arena.h"

enum value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_MAP,
};

struct value {
    enum value_kind kind;
    bool trusted; /* strings: the operator's or the model file's own text, in which control tokens
                   * such as <|im_end|> count as such; false for anything a client sent */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *data; /* NUL-terminated; may hold further NULs */
            size_t len;
        } string;
        struct {
            struct value **items;
            size_t len, cap;
        } list;
        struct {
            struct value_pair *pairs;
            size_t len, cap;
        } map;
    };
};

struct value_pair {
    const char *key; /* NUL-terminated */
    size_t key_len;
    struct value *value;
};

struct value *value_null(struct arena *a);
struct value *value_bool(struct arena *a, bool b);
struct value *value_int(struct arena *a, int64_t i);
struct value *value_float(struct arena *a, double d);
struct value *value_string(struct arena *a, const char *s, size_t len); /* copies */
struct value *value_list(struct arena *a);
struct value *value_map(struct arena *a);

/* Appends / sets; false when the arena is full or item is NULL.  The key is copied. */
bool value_append(struct arena *a, struct value *list, struct value *item);
bool value_set(struct arena *a, struct value *map, const char *key, size_t key_len,
               struct value *item);

/* NULL where there is none, or where v is NULL or not a map. */
struct value *value_get(const struct value *v, const char *key);
struct value *value_getn(const struct value *v, const char *key, size_t key_len);

#endif
