/* run.h - one rendering: its memory, its budget, and the tables of functions it can call.
 */
#ifndef AIRSTRIP_TEMPLATE_RUN_H
#define AIRSTRIP_TEMPLATE_RUN_H

#include <time.h>

#include "inference/text/template/ast.h"
#include "inference/text/template/value.h"
#include "kernels/base/arena.h"

/* Nested evaluations: expressions, statements, calls and values inside values count alike.  One
 * takes 200 to 500 bytes of C stack (1200 under AddressSanitizer), and a worker thread has 512 KiB.
 */
enum { RENDER_MAX_DEPTH = 320 };

struct binding {
    const struct symbol *name;
    struct tval value;
};

/* Variables set in one body; looked up from the inside out. */
struct scope {
    struct scope *parent;
    struct binding *vars; /* T_MISSING: undefined, whatever is outside */
    size_t len, cap;
    bool block; /* what is hidden outside of it is not hidden from it */
};

enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

struct render {
    const struct template *tpl;
    struct arena arena;
    struct err *err;
    time_t now;
    size_t steps, max_steps;
    int depth;
    uint32_t at; /* offset into the template of what runs now, for errors */
    struct tdict *context;
    struct scope *scope; /* the innermost */
    struct scope *root;
    struct tbuf *out; /* where output goes */
};

struct kwarg {
    const char *name;
    size_t len;
    struct tval value;
};

struct args {
    struct tval *pos;
    size_t n_pos;
    struct kwarg *kw;
    size_t n_kw;
};

enum { BUILTIN_MAX_PARAMS = 6 };

/* The parameters of every builtin, of which few need all. */
#define BUILTIN_ARGS                                                                    \
    struct render *r __attribute__((unused)), struct tval self __attribute__((unused)), \
        const struct tval *v __attribute__((unused)),                                   \
        const struct args *a __attribute__((unused)), struct tval *out __attribute__((unused))

/* A filter, test, method or global function.
 * v: the arguments in the order of params, T_MISSING where left out; NULL when params is NULL. */
struct builtin {
    const char *name;
    int (*fn)(BUILTIN_ARGS);
    const char *params; /* names, separated by blanks; NULL: the function looks at *a itself */
    size_t n_required;  /* so many of them must be given */
};

struct tbound {
    const struct builtin *fn;
    struct tval self;
};

struct tmacro {
    const struct stmt *def; /* STMT_MACRO or STMT_CALL */
    struct scope *closure;
};

struct tloop {
    struct tval *candidates; /* those from next on have not been looked at */
    size_t n_candidates, next;
    bool asks;                          /* candidates have yet to pass the loop's filter */
    struct tval before, current, after; /* T_MISSING: there is none; after: or not yet known */
    size_t index;                       /* of the current item */
    size_t length;                      /* unknown while the loop asks */
    size_t depth0;
    const struct stmt *def;
    struct scope *closure;    /* where a recursive call runs */
    struct tval last_changed; /* a tuple; T_MISSING before loop.changed() was called */
};

/* ERR_FORMAT: the sentence with line and column of r->at in front. */
int run_fail(struct render *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
int run_full(struct render *r); /* ERR_LIMIT: out of memory for this rendering */
void *run_alloc(struct render *r, size_t count, size_t size); /* NULL with r->err filled */

/* Takes steps from the budget: 1 per node, more for loops inside a function.  ERR_LIMIT. */
int run_charge(struct render *r, size_t steps) MUST_CHECK;
int run_charge_bytes(struct render *r, size_t bytes) MUST_CHECK; /* a step per 64 bytes looked at */

/* Around everything that recurses.  A failure ends the rendering, so it may skip run_leave(). */
int run_enter(struct render *r) MUST_CHECK;
static inline void run_leave(struct render *r)
{
    r->depth--;
}

/* Tables end with a NULL name. */
const struct builtin *builtin_find(const struct builtin *table, const char *name, size_t len);
extern const struct builtin template_string_filters[], template_list_filters[],
    template_sort_filters[], template_tests[], template_str_methods[], template_str_questions[],
    template_str_searches[], template_number_filters[], template_list_methods[],
    template_dict_methods[], template_cycler_methods[], template_loop_methods[], template_globals[];
const struct builtin *filter_find(const char *name, size_t len);
const struct builtin *test_find(const char *name, size_t len);

/* Sorts out arguments into parameters and calls. */
int builtin_call(struct render *r, const struct builtin *b, struct tval self, const struct args *a,
                 struct tval *out) MUST_CHECK;

/* obj.name, obj[key], obj[start:stop:step] in Jinja's sandbox. */
int get_attr(struct render *r, struct tval obj, const char *name, size_t len,
             struct tval *out) MUST_CHECK;
int get_item(struct render *r, struct tval obj, struct tval key, struct tval *out) MUST_CHECK;
int get_slice(struct render *r, struct tval obj, const struct tval bounds[3],
              struct tval *out) MUST_CHECK;

/* Bytes [start, end) as a key: a number where they are digits. */
int get_key(struct render *r, const struct tstr *s, size_t start, size_t end,
            struct tval *out) MUST_CHECK;

/* "a.b.0" or a number, item by item: what attribute= of the filters means. */
int get_path(struct render *r, struct tval obj, struct tval path, struct tval *out) MUST_CHECK;
/* The same; what is undefined on the way becomes fallback, unless that is none or missing. */
int get_path_or(struct render *r, struct tval obj, struct tval path, struct tval fallback,
                struct tval *out) MUST_CHECK;

int op_binary(struct render *r, enum op op, struct tval a, struct tval b,
              struct tval *out) MUST_CHECK;
int op_compare(struct render *r, enum op op, struct tval a, struct tval b, bool *out) MUST_CHECK;

int eval(struct render *r, const struct expr *x, struct tval *out) MUST_CHECK;
int eval_args(struct render *r, const struct call_args *c, struct args *out) MUST_CHECK;
int call_value(struct render *r, struct tval fn, const struct args *a, struct tval *out) MUST_CHECK;

int exec(struct render *r, const struct stmt *s, enum flow *flow) MUST_CHECK;
int make_macro(struct render *r, const struct stmt *s, struct tval *out) MUST_CHECK;
int macro_attr(struct render *r, const struct stmt *def, const struct tstr *name, bool *found,
               struct tval *out) MUST_CHECK;
int call_macro(struct render *r, const struct tmacro *m, const struct args *a,
               struct tval *out) MUST_CHECK;
int call_loop(struct render *r, struct tloop *l, const struct args *a, struct tval *out) MUST_CHECK;

/* One pass through what `over` holds; the scope around the loop is r->scope. */
int run_loop(struct render *r, const struct stmt *s, struct tval over, size_t depth0) MUST_CHECK;
int loop_length(struct render *r, struct tloop *l, size_t *out) MUST_CHECK;
/* loop.index and the like; *found tells whether there is such a thing. */
int loop_attr(struct render *r, struct tloop *l, const struct tstr *name, bool *found,
              struct tval *out) MUST_CHECK;

/* Runs body in a scope of its own, with output going where it went. */
int exec_scoped(struct render *r, const struct stmt *body, const struct late *hidden,
                enum flow *flow) MUST_CHECK;
int assign(struct render *r, const struct target *t, struct tval v) MUST_CHECK;

/* self.name(): what the block prints. */
int call_block(struct render *r, const struct stmt *block, struct tval *out) MUST_CHECK;

int lookup(struct render *r, const struct symbol *name, struct tval *out) MUST_CHECK;
int scope_set(struct render *r, const struct symbol *name, struct tval v) MUST_CHECK;

/* Makes the names undefined in the innermost scope, unless it has them already. */
int scope_hide(struct render *r, const struct late *names) MUST_CHECK;

/* str.format(), the % operator, json.dumps(): format and values to text. */
int format_braces(struct render *r, const struct tstr *fmt, const struct args *a,
                  struct tval *out) MUST_CHECK;
int format_percent(struct render *r, const struct tstr *fmt, struct tval values,
                   struct tval *out) MUST_CHECK;
int json_dumps(struct render *r, struct tval v, const struct tval *params,
               struct tval *out) MUST_CHECK;

/* An argument as a string or an integer; fails with the parameter's name otherwise. */
int arg_string(struct render *r, struct tval v, const char *name,
               const struct tstr **out) MUST_CHECK;
int arg_int(struct render *r, struct tval v, const char *name, int64_t *out) MUST_CHECK;

#endif
