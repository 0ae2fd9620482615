/* Words are mostly short, and looking through a short chain for its best pair is cheaper than a
 * heap.  In the heap, order and position share one number, so that one comparison gives "lowest
 * order, then leftmost".  An entry is never taken out when its pair changes: it is recognised as
 * stale when it comes up, because the symbol it names has another order by then. */
#include "inference/text/merge.h"

#include <stdlib.h>

int merge_add(struct merge_work *w, int32_t id, size_t start, size_t len, struct err *e)
{
    uint32_t i = (uint32_t)w->n;

    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 64;
        struct merge_symbol *symbols;

        if (cap > INT32_MAX || start > UINT32_MAX - len)
            return err_set(e, ERR_LIMIT, "word of more than %zu symbols", w->n);
        symbols = realloc(w->symbols, cap * sizeof *symbols);
        if (!symbols)
            return err_set(e, ERR_NOMEM, "no memory for a word of %zu symbols", cap);
        w->symbols = symbols;
        w->cap = cap;
    }
    w->symbols[i] = (struct merge_symbol){
        .id = id,
        .start = (uint32_t)start,
        .len = (uint32_t)len,
        .prev = i > 0 ? i - 1 : MERGE_END,
        .next = MERGE_END,
        .order = MERGE_NEVER,
    };
    if (i > 0)
        w->symbols[i - 1].next = i;
    w->n++;
    return 0;
}

static void push(struct merge_work *w, uint64_t key)
{
    size_t i = w->n_heap++;

    while (i > 0 && w->heap[(i - 1) / 2] > key) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = key;
}

static uint64_t pop(struct merge_work *w)
{
    uint64_t top = w->heap[0], key = w->heap[--w->n_heap];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= w->n_heap)
            break;
        if (child + 1 < w->n_heap && w->heap[child + 1] < w->heap[child])
            child++;
        if (w->heap[child] >= key)
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = key; /* also when it was the last one: then nobody reads it */
    return top;
}

/* Looks at the pair that symbol i makes with the next one. */
static void rank(struct merge_work *w, const struct merge_rule *rule, uint32_t i)
{
    struct merge_symbol *s = &w->symbols[i];

    s->order =
        s->next == MERGE_END ? MERGE_NEVER : rule->pair(rule, s, &w->symbols[s->next], &s->joined);
}

static void consider(struct merge_work *w, const struct merge_rule *rule, uint32_t i)
{
    rank(w, rule, i);
    if (w->symbols[i].order != MERGE_NEVER)
        push(w, (uint64_t)w->symbols[i].order << 32 | i);
}

/* Symbol i and the next one become one. */
static void join(struct merge_work *w, uint32_t i)
{
    struct merge_symbol *s = &w->symbols[i], *right = &w->symbols[s->next];

    s->id = s->joined;
    s->len += right->len;
    s->next = right->next;
    right->order = MERGE_NEVER; /* it is gone; its entries are stale */
    if (s->next != MERGE_END)
        w->symbols[s->next].prev = i;
}

static void run_short(struct merge_work *w, const struct merge_rule *rule)
{
    for (uint32_t i = 0; i < w->n; i++)
        rank(w, rule, i);
    for (;;) {
        uint32_t best = 0;

        for (uint32_t i = 0; i != MERGE_END; i = w->symbols[i].next)
            if (w->symbols[i].order < w->symbols[best].order)
                best = i;
        if (w->symbols[best].order == MERGE_NEVER)
            return;
        join(w, best);
        rank(w, rule, best);
        if (w->symbols[best].prev != MERGE_END)
            rank(w, rule, w->symbols[best].prev);
    }
}

int merge_run(struct merge_work *w, const struct merge_rule *rule, struct err *e)
{
    enum { SHORT = 24 };
    size_t need = 2 * w->n; /* n - 1 pairs to begin with; a join takes one off and puts two on */

    if (w->n <= SHORT) {
        if (w->n > 1)
            run_short(w, rule);
        return 0;
    }
    if (need > w->heap_cap) {
        uint64_t *heap = realloc(w->heap, need * sizeof *heap);

        if (!heap)
            return err_set(e, ERR_NOMEM, "no memory for a word of %zu symbols", w->n);
        w->heap = heap;
        w->heap_cap = need;
    }
    w->n_heap = 0;
    for (size_t i = 0; i + 1 < w->n; i++)
        consider(w, rule, (uint32_t)i);
    while (w->n_heap > 0) {
        uint64_t key = pop(w);
        uint32_t i = (uint32_t)key;
        struct merge_symbol *s = &w->symbols[i];

        if (s->order != key >> 32) /* the pair has changed since; its new self was pushed too */
            continue;
        join(w, i);
        consider(w, rule, i);
        if (s->prev != MERGE_END)
            consider(w, rule, s->prev);
    }
    return 0;
}

void merge_done(struct merge_work *w)
{
    free(w->symbols);
    free(w->heap);
    *w = (struct merge_work){ 0 };
}
