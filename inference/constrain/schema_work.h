/* schema_work.h - a schema being compiled: what the files schema*.c share.
 *
 * A place in a document is described by a set of schemas all of which must hold there (those of
 * `allOf`, the targets of `$ref`, what two of them say of one property ...).  Equal sets are one
 * place, with one rule of the grammar, so recursion ends.  schema_flat.c unfolds a place into
 * leaves: sets without `$ref`, `allOf`, `anyOf` and the like; schema.c and schema_object.c etc.
 * turn a leaf into a node. */
#ifndef AIRSTRIP_CONSTRAIN_SCHEMA_WORK_H
#define AIRSTRIP_CONSTRAIN_SCHEMA_WORK_H

#include "inference/constrain/digits.h"
#include "inference/constrain/json.h"
#include "inference/constrain/table.h"
#include "kernels/base/arena.h"
#include "kernels/base/err.h"

enum {
    TYPE_NULL = 1,
    TYPE_BOOL = 2,
    TYPE_INTEGER = 4,
    TYPE_FRACTION = 8, /* numbers that are no integers */
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_NUMBER = TYPE_INTEGER | TYPE_FRACTION,
    TYPE_ALL = 127,
};

enum { MAX_TOGETHER = 200 }; /* schemas that hold at one place */

/* All must hold.  Maps only, once they are a leaf's. */
struct schemas {
    const struct value *items[MAX_TOGETHER];
    size_t n;
    uint16_t by[MAX_TOGETHER]; /* a leaf's: 1 + the place here of the one whose keyword brought it;
                                * 0: none did */
};

/* What only schemas of our own say (struct value's `trusted`): texts that a string is none of, an
 * expression that it does not match. */
#define SCHEMA_NOT_TEXTS   "!enum"
#define SCHEMA_NOT_PATTERN "!pattern"

struct place {
    const struct value **items; /* [n], by address */
    size_t n;
    int32_t rule;
};

/* What schema_not() said. */
struct negated {
    const struct value *of, *is;
    bool partial;
};

/* A schema with an $id, and that as a whole URI; the root, with or without. */
struct resource {
    const struct value *schema;
    const char *uri;
};

struct work {
    struct grammar *g;
    struct json json;
    const struct value *root;
    struct arena arena;
    struct table memo; /* the addresses of a place's items: run k is places[k] */
    struct place *places;
    size_t n_places, cap_places, n_leaves;
    struct negated *nots; /* [n_nots] */
    size_t n_nots, n_negated;
    struct resource *resources; /* [n_resources], once a reference was met */
    size_t n_resources;
    struct err *e;
};

/* --- schema.c --- */

/* One sentence with the place of the schema and the keyword. */
int work_fail(struct work *w, const struct value *schema, const char *keyword, int code,
              const char *fmt, ...) PRINTF_LIKE(5, 6);
int work_no_memory(struct work *w);

/* Adds a schema to a set; ERR_LIMIT where there are too many. */
int schemas_add(struct work *w, struct schemas *s, const struct value *schema) MUST_CHECK;

/* The node of a place where all of these hold. */
int place_node(struct work *w, const struct schemas *s, int32_t *out) MUST_CHECK;

/* Types that all allow by `type`; where `inferred` and none says, those that their keywords are
 * about.
 */
unsigned schemas_types(const struct schemas *s, bool inferred);

/* Is one of them `false`? */
bool schemas_never(const struct schemas *s);

/* Was item m brought by item u's keywords, through schemas of the client's alone?  Then what it
 * says of a property is evaluated in the sense of u's unevaluatedProperties.  True for u itself. */
bool schemas_brought(const struct schemas *s, size_t m, size_t u);

/* A count (minLength, maxItems ...) over all: the largest for a minimum, the smallest for a
 * maximum; `none` where nobody says. */
size_t schemas_count(const struct schemas *s, const char *keyword, bool minimum, size_t none);

/* --- schema_flat.c --- */

enum leaf_kind {
    LEAF_VALUE,
    LEAF_KEY, /* strings only, their characters without quotes, without calls */
};

/* The alternatives of all leaves. */
int flat_node(struct work *w, const struct schemas *s, enum leaf_kind kind,
              int32_t *out) MUST_CHECK;

/* --- schema_ref.c --- */

/* The schema that s's $ref or $dynamicRef names. */
int ref_target(struct work *w, const struct value *s, const char *keyword,
               const struct value **out) MUST_CHECK;

/* --- a leaf --- */

int leaf_node(struct work *w, const struct schemas *s, enum leaf_kind kind,
              int32_t *out) MUST_CHECK; /* schema.c */
int string_node(struct work *w, const struct schemas *s,
                int32_t *out) MUST_CHECK; /* schema_scalar.c */
int string_characters(struct work *w, const struct schemas *s, int32_t *out) MUST_CHECK;
int number_node(struct work *w, const struct schemas *s, bool integer, int32_t *out) MUST_CHECK;
void number_bounds(const struct schemas *s, struct bound *lo, struct bound *hi);
int array_node(struct work *w, const struct schemas *s,
               int32_t *out) MUST_CHECK; /* schema_array.c */
int object_node(struct work *w, const struct schemas *s,
                int32_t *out) MUST_CHECK; /* schema_object.c */

/* --- schema_keywords.c --- */

enum keyword_holds {
    HOLDS_NONE,
    HOLDS_SCHEMA,  /* a schema, or a list of them */
    HOLDS_MEMBERS, /* an object of them */
};

enum keyword_holds keyword_holds(const char *name);

/* Is what s says well-formed and supported? */
int keywords_check(struct work *w, const struct value *s) MUST_CHECK;
/* The types that its keywords are about; 0: none of them tells. */
unsigned keywords_types(const struct value *s);
/* `type` as bits; TYPE_ALL without one. */
unsigned keywords_type(const struct value *s);
/* Does it say anything beside `type`? */
bool keywords_only_type(const struct value *s);

/* --- schema_check.c --- */

/* Does v fit?  1, 0, or -1: cannot be told. */
int check_value(struct work *w, const struct value *v, const struct value *schema);
int check_all(struct work *w, const struct value *v, const struct schemas *s);
bool value_equal(const struct value *a, const struct value *b);
unsigned value_type(const struct value *v);

/* --- schema_one.c --- */

/* Branch i of a oneOf at a place where `base` holds too, as a schema of which no value is one of
 * another branch's; ERR_UNSUPPORTED where that cannot be shown, or where nothing would be left of
 * it that can. */
int one_branch(struct work *w, const struct schemas *base, const struct value *owner, size_t i,
               const struct value **out) MUST_CHECK;

/* --- schema_not.c --- */

/* A schema that no value of s fits: false, or one of our own; NULL: none is known.  *partial:
 * values of kinds that do not fit s may be missing. */
int schema_not(struct work *w, const struct value *s, const struct value **out,
               bool *partial) MUST_CHECK;

/* Does everything fit? */
bool schema_says_nothing(const struct value *s);

/* --- schema_own.c: schemas of our own; NULL without memory --- */

struct value *schema_own(struct work *w);
/* An object without that property; one that has it. */
struct value *schema_without(struct work *w, const char *name, size_t len);
struct value *schema_with(struct work *w, const char *name, size_t len);
struct value *schema_any_of(struct work *w, struct value *list);
/* For `type`; fractions have a name together with integers only. */
struct value *schema_type_list(struct work *w, unsigned types);
/* What our own s says under a name that is not the client's. */
const struct value *schema_own_get(const struct value *s, const char *keyword);

#endif
