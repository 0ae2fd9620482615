/* Which names are undefined when a scope begins, although something outside has them.
 *
 * Jinja decides where a name belongs when it compiles a template (its idtracking.py): a name that a
 * scope sets, and that neither it nor a scope around it reads before, is the scope's own from its
 * first line on.  {% macro f() %}{{ tools }}{% endmacro %}{{ f() }}{% set tools = 1 %} prints
 * nothing, whatever the variable `tools` is.  A name that is first set inside of an `if`, or that
 * was read before, keeps what it had.
 *
 * The walk goes through the statements of one scope, then into the scopes inside of it.  Each
 * symbol has a stack of references, the innermost on top: those of scopes around the current one,
 * and of the branches being walked. */
#include "inference/text/template/scopes.h"

#include "inference/text/template/run.h"

/* What a name is when its scope begins. */
enum start { START_OUTER, START_PARAMETER, START_UNDEFINED };

struct reference {
    struct reference *below;  /* in the symbol's stack */
    struct reference *before; /* in the region's list */
    struct symbol *symbol;
    const struct region *region;
    enum start start;
    bool stored;
    bool first; /* while branches are merged: one of them sets it, and nothing before them does */
};

/* A scope, or a branch of an `if` in it, whose references are merged when it ends. */
struct region {
    struct region *around;
    const struct region *scope; /* itself, unless it is a branch */
    const struct region *root;  /* of the template or block; what is outside of it is not seen */
    struct reference *last;
};

enum region_kind { REGION_ROOT, REGION_SCOPE, REGION_BRANCH };

struct walk {
    struct parser *p;
    struct region *region;
    int depth;
};

static int walk_body(struct walk *w, struct stmt *s, struct late *out);

/* The reference to a name in this scope or one around it; NULL: there is none. */
static struct reference *visible(const struct walk *w, const struct symbol *name)
{
    struct reference *r = name->references;

    return r && r->region->root == w->region->root ? r : NULL;
}

static struct reference *refer(struct walk *w, const struct symbol *name)
{
    struct reference *r = parse_alloc(w->p, sizeof *r);

    if (!r)
        return NULL;
    *r = (struct reference){ .symbol = (struct symbol *)name, .region = w->region };
    r->below = name->references;
    r->before = w->region->last;
    r->symbol->references = r;
    w->region->last = r;
    return r;
}

static bool in_scope(const struct walk *w, const struct reference *r)
{
    return r && r->region->scope == w->region->scope;
}

static int load(struct walk *w, const struct symbol *name)
{
    return visible(w, name) || refer(w, name) ? 0 : ERR_NOMEM;
}

static int store(struct walk *w, const struct symbol *name)
{
    struct reference *old = visible(w, name), *r = old;
    enum start start = in_scope(w, old) ? old->start : old ? START_OUTER : START_UNDEFINED;

    if (!old || old->region != w->region) {
        r = refer(w, name);
        if (!r)
            return ERR_NOMEM;
        r->start = start;
        r->stored = in_scope(w, old) && old->stored;
    }
    r->stored = true;
    return 0;
}

static int parameter(struct walk *w, const struct symbol *name)
{
    struct reference *r = refer(w, name);

    if (!r)
        return ERR_NOMEM;
    r->start = START_PARAMETER;
    r->stored = true;
    return 0;
}

static int loads(struct walk *w, const struct expr *x);

static int loads_all(struct walk *w, struct expr *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        TRY(loads(w, items[i]));
    return 0;
}

static int loads_args(struct walk *w, const struct call_args *a)
{
    if (!a)
        return 0;
    TRY(loads_all(w, a->pos, a->n_pos));
    for (size_t i = 0; i < a->n_kw; i++)
        TRY(loads(w, a->kw[i].value));
    TRY(loads(w, a->star));
    return loads(w, a->star_star);
}

static int loads_inside(struct walk *w, const struct expr *x)
{
    switch (x->kind) {
    case EXPR_CONST:
        return 0;
    case EXPR_NAME:
        return load(w, x->name);
    case EXPR_LIST:
    case EXPR_TUPLE:
    case EXPR_DICT:
    case EXPR_CONCAT:
    case EXPR_AND:
    case EXPR_OR:
        return loads_all(w, x->items, x->n);
    case EXPR_CHAIN:
    case EXPR_COMPARE:
        TRY(loads(w, x->first));
        for (size_t i = 0; i < x->n_operands; i++)
            TRY(loads(w, x->operands[i].value));
        return 0;
    default:
        TRY(loads(w, x->a));
        TRY(loads(w, x->b));
        TRY(loads(w, x->c));
        TRY(loads(w, x->d));
        return loads_args(w, x->args);
    }
}

/* Deeper than a rendering goes nothing is evaluated, so nothing is looked at. */
static int loads(struct walk *w, const struct expr *x)
{
    if (!x || w->depth >= RENDER_MAX_DEPTH)
        return 0;
    w->depth++;
    TRY(loads_inside(w, x));
    w->depth--;
    return 0;
}

static int stores(struct walk *w, const struct target *t, bool as_parameter)
{
    if (t->kind == TARGET_ATTR)
        return load(w, t->name);
    if (t->kind == TARGET_NAME)
        return as_parameter ? parameter(w, t->name) : store(w, t->name);
    for (size_t i = 0; i < t->n; i++)
        TRY(stores(w, t->items[i], as_parameter));
    return 0;
}

static void begin(struct walk *w, struct region *r, enum region_kind kind)
{
    *r = (struct region){ .around = w->region };
    r->scope = kind == REGION_BRANCH ? w->region->scope : r;
    r->root = kind == REGION_ROOT ? r : w->region->root;
    w->region = r;
}

/* Takes the region's references off the symbols' stacks; they stay in its list. */
static void end(struct walk *w)
{
    for (struct reference *r = w->region->last; r; r = r->before)
        r->symbol->references = r->below;
    w->region = w->region->around;
}

/* Branches' references become those of what they stand in.  What one sets for the first time keeps
 * what it had outside, since another may be taken. */
static int merge(struct walk *w, const struct region *branches, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (struct reference *b = branches[i].last; b; b = b->before) {
            const struct reference *r = visible(w, b->symbol);

            b->first = b->stored && !(in_scope(w, r) && r->stored);
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (const struct reference *b = branches[i].last; b; b = b->before) {
            struct reference *r = visible(w, b->symbol);

            if (!r || r->region != w->region)
                r = refer(w, b->symbol);
            if (!r)
                return ERR_NOMEM;
            r->first |= b->first;
            r->start = r->first ? START_OUTER : b->start;
            r->stored |= b->stored;
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (const struct reference *b = branches[i].last; b; b = b->before)
            visible(w, b->symbol)->first = false;
    }
    return 0;
}

static int own_names(struct walk *w, const struct stmt *s);

/* Branches do not see each other's names. */
static int branch_names(struct walk *w, const struct stmt *s)
{
    struct region *branches = parse_alloc(w->p, s->n_branches * sizeof *branches);

    if (!branches)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n_branches; i++) {
        begin(w, &branches[i], REGION_BRANCH);
        TRY(loads(w, s->branches[i].condition));
        TRY(own_names(w, s->branches[i].body));
        end(w);
    }
    return merge(w, branches, s->n_branches);
}

/* The names that the statements mention themselves, not inside of scopes of their own. */
static int own_names(struct walk *w, const struct stmt *s)
{
    for (; s; s = s->next) {
        switch (s->kind) {
        case STMT_PRINT:
        case STMT_FOR:
            TRY(loads(w, s->value));
            break;
        case STMT_IF:
            TRY(branch_names(w, s));
            break;
        case STMT_SET:
            TRY(loads(w, s->value));
            TRY(stores(w, s->target, false));
            break;
        case STMT_SET_BLOCK:
            TRY(stores(w, s->target, false));
            break;
        case STMT_MACRO:
            TRY(store(w, s->name));
            break;
        case STMT_CALL:
        case STMT_FILTER:
            TRY(loads(w, s->value));
            break;
        case STMT_WITH:
            TRY(loads_all(w, s->values, s->n_targets));
            break;
        default:
            break;
        }
    }
    return 0;
}

/* A scope with the names that it has from its statement, and its body. */
static int scope_of(struct walk *w, struct stmt *s)
{
    struct region r;

    begin(w, &r, s->kind == STMT_BLOCK ? REGION_ROOT : REGION_SCOPE);
    if (s->kind == STMT_FOR) {
        TRY(parameter(w, w->p->t->sym_loop));
        TRY(stores(w, s->target, true));
    }
    for (size_t i = 0; i < s->n_params; i++)
        TRY(parameter(w, s->params[i].name));
    for (size_t i = 0; i < s->n_params; i++)
        TRY(loads(w, s->params[i].fallback));
    for (size_t i = 0; i < s->n_targets; i++)
        TRY(stores(w, s->targets[i], true));
    TRY(walk_body(w, s->body, &s->late));
    end(w);
    return 0;
}

static int inner_scopes(struct walk *w, struct stmt *s)
{
    for (; s; s = s->next) {
        struct region r;

        for (size_t i = 0; i < s->n_branches; i++)
            TRY(inner_scopes(w, s->branches[i].body));
        if (s->body)
            TRY(scope_of(w, s));
        if (s->otherwise) {
            begin(w, &r, REGION_SCOPE);
            TRY(walk_body(w, s->otherwise, &s->late_otherwise));
            end(w);
        }
    }
    return 0;
}

static int walk_body(struct walk *w, struct stmt *s, struct late *out)
{
    size_t n = 0;

    TRY(own_names(w, s));
    for (const struct reference *r = w->region->last; r; r = r->before)
        n += r->start == START_UNDEFINED;
    if (n) {
        out->names = parse_alloc(w->p, n * sizeof *out->names);
        if (!out->names)
            return ERR_NOMEM;
    }
    for (const struct reference *r = w->region->last; r; r = r->before) {
        if (r->start == START_UNDEFINED)
            out->names[out->n++] = r->symbol;
    }
    return inner_scopes(w, s);
}

int template_find_late(struct parser *p, struct stmt *body, struct late *out)
{
    struct walk w = { .p = p };
    struct region root;

    begin(&w, &root, REGION_ROOT);
    TRY(walk_body(&w, body, out));
    end(&w);
    return 0;
}
