/* value.h - what a template computes with: values that behave as Python's do.
 *
 * A tval is 16 bytes and passed by value; what it points to lives in the rendering's arena
 * (constants of the template in the template's own) and is not changed once made, namespaces, loops
 * and cyclers excepted. Functions that return int give 0 or an ERR_* with r->err filled; see
 * run.h for struct render. One thread per rendering. */
#ifndef AIRSTRIP_TEMPLATE_VALUE_H
#define AIRSTRIP_TEMPLATE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inference/text/template/text.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

struct render;
struct stmt;

enum tkind {
    T_MISSING, /* an argument that was left out; no expression has this value */
    T_UNDEFINED,
    T_NONE,
    T_BOOL,
    T_INT,
    T_FLOAT,
    T_STRING,
    T_LIST, /* lists, tuples, ranges, views of dicts, iterators */
    T_DICT,
    T_NAMESPACE,
    T_BUILTIN, /* a function or a method bound to its object */
    T_MACRO,
    T_LOOP,
    T_CYCLER,
    T_JOINER,
    T_SELF,  /* the template itself, `self` */
    T_BLOCK, /* self.name, which can be called */
};

struct tval {
    enum tkind kind;
    union {
        bool b;
        int64_t i;
        double d;
        const struct tstr *s;
        struct tlist *list;
        struct tdict *dict; /* also T_NAMESPACE */
        const struct tundef *undef;
        const struct tbound *bound;
        const struct tmacro *macro;
        struct tloop *loop;
        const struct stmt *block;
        struct tcycler *cycler; /* also T_JOINER: "", then the separator for ever */
    };
};

enum flavour {
    LIST_LIST,
    LIST_TUPLE,
    LIST_RANGE,
    LIST_VIEW, /* dict.keys(), .values(), .items() */
    LIST_ITER, /* a generator: true, without length, and used up by reading it */
};

struct tlist {
    struct tval *items;
    size_t len;
    enum flavour flavour;
    const char *name; /* LIST_VIEW: "dict_items", ... */
    int64_t range[3]; /* LIST_RANGE: start, stop, step, for printing */
};

struct tdict {
    struct tpair {
        struct tval key, value;
    } * pairs;
    size_t len, cap;
};

/* Why a value is undefined, told only when someone trips over it. */
struct tundef {
    enum { UNDEF_NAME, UNDEF_ATTRIBUTE, UNDEF_ELEMENT, UNDEF_UNSAFE, UNDEF_HINT } why;
    const char *name; /* variable, attribute; UNDEF_HINT: the whole sentence */
    size_t name_len;
    const char *owner; /* type whose attribute it is */
};

struct tcycler {
    struct tval *items;
    size_t len, pos;
};

static inline struct tval tval_none(void)
{
    return (struct tval){ .kind = T_NONE };
}

static inline struct tval tval_bool(bool b)
{
    return (struct tval){ .kind = T_BOOL, .b = b };
}

static inline struct tval tval_int(int64_t i)
{
    return (struct tval){ .kind = T_INT, .i = i };
}

static inline struct tval tval_float(double d)
{
    return (struct tval){ .kind = T_FLOAT, .d = d };
}

static inline bool tval_is_number(struct tval v)
{
    return v.kind == T_BOOL || v.kind == T_INT || v.kind == T_FLOAT;
}

static inline bool tval_is_integer(struct tval v) /* Python's bool is an int */
{
    return v.kind == T_BOOL || v.kind == T_INT;
}

static inline int64_t tval_integer(struct tval v)
{
    return v.kind == T_BOOL ? v.b : v.i;
}

static inline double tval_double(struct tval v)
{
    return v.kind == T_FLOAT ? v.d : (double)tval_integer(v);
}

/* name is borrowed for the rendering. */
int tval_undefined(struct render *r, int why, const char *name, size_t len, const char *owner,
                   struct tval *out) MUST_CHECK;
int tval_hint(struct render *r, const char *sentence, struct tval *out) MUST_CHECK;

/* Fails with the sentence of an undefined value. */
int tval_trip(struct render *r, struct tval undefined) MUST_CHECK;

/* A list of len items, to be filled in by the caller. */
int tval_list(struct render *r, enum flavour f, size_t len, struct tval *out) MUST_CHECK;
int tval_dict(struct render *r, size_t cap, struct tval *out) MUST_CHECK;

/* A tree from outside; its strings are borrowed, so it must outlive the rendering. */
int tval_import(struct render *r, const struct value *v, struct tval *out) MUST_CHECK;

/* NULL when it is not there.  Compares as Python hashes: 1, 1.0 and True are one key. */
int tdict_find(struct render *r, const struct tdict *d, struct tval key,
               struct tval **out) MUST_CHECK;
struct tval *tdict_text(const struct tdict *d, const char *key, size_t len);
int tdict_set(struct render *r, struct tdict *d, struct tval key, struct tval value) MUST_CHECK;

/* Can it be a key?  Fails for lists, dicts and namespaces. */
int tval_hashable(struct render *r, struct tval v) MUST_CHECK;

bool tval_truth(struct tval v);
bool tval_iterable(struct tval v);
const char *tval_type(struct tval v); /* Python's name of the type: "str", "NoneType" */

/* len() as Python has it: fails for what has none. */
int tval_length(struct render *r, struct tval v, size_t *out) MUST_CHECK;

int tval_equal(struct render *r, struct tval a, struct tval b, bool *out) MUST_CHECK;

/* *out < 0, 0, > 0; fails for types without an order between them.  A NaN compares as neither: 2.
 */
int tval_compare(struct render *r, struct tval a, struct tval b, const char *op,
                 int *out) MUST_CHECK;

/* What a for loop walks over; an iterator is used up.  *items is borrowed or lives in the arena. */
int tval_iterate(struct render *r, struct tval v, struct tval **items, size_t *n) MUST_CHECK;

/* str(v) and repr(v), appended.  Bytes of untrusted strings stay marked. */
int tval_print(struct render *r, struct tbuf *b, struct tval v) MUST_CHECK;
int tval_repr(struct render *r, struct tbuf *b, struct tval v) MUST_CHECK;
int tval_ascii(struct render *r, struct tbuf *b, struct tval v) MUST_CHECK; /* ascii(v) */

/* str(v) as a string of its own. */
int tval_string(struct render *r, struct tval v, const struct tstr **out) MUST_CHECK;

#endif
