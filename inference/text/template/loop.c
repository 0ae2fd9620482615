/* For loops.
 *
 * The filter of `for x in items if filter` is asked as late as Jinja asks it: when the loop goes on
 * to the next item, or when something like loop.last wants to know whether there is one.  What the
 * body changes in a namespace therefore counts for the items to come. */
#include <string.h>

#include "inference/text/template/run.h"

/* Does the loop's filter keep this candidate? */
static int passes(struct render *r, const struct tloop *l, struct tval item, bool *yes)
{
    struct scope *outer = r->scope, *own;
    struct tval kept;

    *yes = true;
    if (!l->asks)
        return 0;
    own = run_alloc(r, 1, sizeof *own);
    if (!own)
        return ERR_LIMIT;
    own->parent = l->closure;
    r->scope = own;
    TRY(assign(r, l->def->target, item));
    TRY(eval(r, l->def->filter, &kept));
    r->scope = outer;
    *yes = tval_truth(kept);
    return 0;
}

/* What a loop that asks goes on with: of several targets, what they were, as a tuple. */
static int kept_item(struct render *r, const struct tloop *l, struct tval item, struct tval *out)
{
    struct tval *parts;
    size_t n;

    *out = item;
    if (!l->asks || l->def->target->kind != TARGET_TUPLE)
        return 0;
    TRY(tval_iterate(r, item, &parts, &n));
    TRY(tval_list(r, LIST_TUPLE, n, out));
    memcpy(out->list->items, parts, n * sizeof *parts);
    return 0;
}

/* Finds the item behind the current one: l->after, T_MISSING at the end. */
static int peek(struct render *r, struct tloop *l)
{
    while (l->after.kind == T_MISSING && l->next < l->n_candidates) {
        struct tval item = l->candidates[l->next++];
        bool yes;

        TRY(passes(r, l, item, &yes));
        if (yes)
            TRY(kept_item(r, l, item, &l->after));
    }
    return 0;
}

int loop_length(struct render *r, struct tloop *l, size_t *out)
{
    struct tval *kept;
    size_t n = 0;
    bool yes;

    if (l->asks) {
        kept = run_alloc(r, l->n_candidates + 1, sizeof *kept);
        if (!kept)
            return ERR_LIMIT;
        for (; l->next < l->n_candidates; l->next++) {
            TRY(passes(r, l, l->candidates[l->next], &yes));
            if (yes)
                TRY(kept_item(r, l, l->candidates[l->next], &kept[n++]));
        }
        l->candidates = kept;
        l->n_candidates = n;
        l->next = 0;
        l->asks = false;
        l->length = l->index + 1 + (l->after.kind != T_MISSING) + n;
    }
    *out = l->length;
    return 0;
}

/* loop.index and the like that are numbers; -1: there is no such attribute. */
static int loop_number(struct render *r, struct tloop *l, const struct tstr *name, int64_t *out)
{
    int64_t index = (int64_t)l->index;
    size_t length;

    if (tstr_is(name, "index") || tstr_is(name, "index0")) {
        *out = index + (name->len == 5);
    } else if (tstr_is(name, "depth") || tstr_is(name, "depth0")) {
        *out = (int64_t)l->depth0 + (name->len == 5);
    } else if (tstr_is(name, "length") || tstr_is(name, "revindex") || tstr_is(name, "revindex0")) {
        TRY(loop_length(r, l, &length));
        *out = (int64_t)length - (name->len == 6 ? 0 : name->len == 8 ? index : index + 1);
    } else {
        *out = -1;
    }
    return 0;
}

int loop_attr(struct render *r, struct tloop *l, const struct tstr *name, bool *found,
              struct tval *out)
{
    int64_t number;

    *found = true;
    TRY(loop_number(r, l, name, &number));
    if (number >= 0) {
        *out = tval_int(number);
    } else if (tstr_is(name, "first")) {
        *out = tval_bool(l->index == 0);
    } else if (tstr_is(name, "last")) {
        TRY(peek(r, l));
        *out = tval_bool(l->after.kind == T_MISSING);
    } else if (tstr_is(name, "previtem")) {
        *out = l->before;
        if (out->kind == T_MISSING)
            return tval_hint(r, "there is no previous item", out);
    } else if (tstr_is(name, "nextitem")) {
        TRY(peek(r, l));
        *out = l->after;
        if (out->kind == T_MISSING)
            return tval_hint(r, "there is no next item", out);
    } else {
        *found = false;
    }
    return 0;
}

/* Goes on to the next item; l->current is T_MISSING when there is none. */
static int advance(struct render *r, struct tloop *l)
{
    TRY(peek(r, l));
    l->index += l->current.kind != T_MISSING;
    l->before = l->current;
    l->current = l->after;
    l->after = (struct tval){ .kind = T_MISSING };
    return 0;
}

/* *completed: some pass came to the end of the body.  As in Jinja, what follows `else` is for loops
 * of which that is not true: `break` and `continue` do not count. */
static int run_items(struct render *r, struct tloop *l, bool *completed)
{
    const struct stmt *s = l->def;
    enum flow flow = FLOW_NEXT;

    *completed = false;
    while (flow != FLOW_BREAK) {
        struct scope *own = run_alloc(r, 1, sizeof *own);

        TRY(advance(r, l));
        if (l->current.kind == T_MISSING)
            break;
        if (!own)
            return ERR_LIMIT;
        own->parent = l->closure;
        r->scope = own;
        TRY(scope_set(r, r->tpl->sym_loop, (struct tval){ .kind = T_LOOP, .loop = l }));
        TRY(assign(r, s->target, l->current));
        TRY(scope_hide(r, &s->late));
        TRY(exec(r, s->body, &flow));
        r->scope = l->closure;
        *completed |= flow == FLOW_NEXT;
    }
    return 0;
}

int run_loop(struct render *r, const struct stmt *s, struct tval over, size_t depth0)
{
    struct tloop *l = run_alloc(r, 1, sizeof *l);
    enum flow flow = FLOW_NEXT;
    bool completed;

    if (!l)
        return ERR_LIMIT;
    *l = (struct tloop){ .def = s, .closure = r->scope, .depth0 = depth0 };
    l->asks = s->filter != NULL;
    TRY(tval_iterate(r, over, &l->candidates, &l->n_candidates));
    l->length = l->n_candidates;
    TRY(run_items(r, l, &completed));
    if (!completed && s->otherwise)
        return exec_scoped(r, s->otherwise, &s->late_otherwise, &flow);
    return 0;
}

int call_loop(struct render *r, struct tloop *l, const struct args *a, struct tval *out)
{
    struct tbuf text = { 0 }, *outer = r->out;
    struct scope *scope = r->scope;

    if (!l->def->recursive)
        return run_fail(r, "The loop must have the 'recursive' marker to be called recursively.");
    if (a->n_pos != 1 || a->n_kw)
        return run_fail(r, "loop() takes one argument");
    TRY(run_enter(r));
    r->out = &text;
    r->scope = l->closure;
    TRY(run_loop(r, l->def, a->pos[0], l->depth0 + 1));
    r->scope = scope;
    r->out = outer;
    run_leave(r);
    return tbuf_done(r, &text, out);
}

static int loop_cycle(BUILTIN_ARGS)
{
    if (!a->n_pos)
        return run_fail(r, "no items for cycling given");
    *out = a->pos[self.loop->index % a->n_pos];
    return 0;
}

static int loop_changed(BUILTIN_ARGS)
{
    struct tval now;
    bool same = false;

    TRY(tval_list(r, LIST_TUPLE, a->n_pos, &now));
    for (size_t i = 0; i < a->n_pos; i++)
        now.list->items[i] = a->pos[i];
    if (self.loop->last_changed.kind != T_MISSING)
        TRY(tval_equal(r, self.loop->last_changed, now, &same));
    self.loop->last_changed = now;
    *out = tval_bool(!same);
    return 0;
}

const struct builtin template_loop_methods[] = {
    { "cycle", loop_cycle, NULL, 0 },
    { "changed", loop_changed, NULL, 0 },
    { NULL, NULL, NULL, 0 },
};
