#include "inference/text/special.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const struct special_item *x = a, *y = b;
    size_t n = x->text.len < y->text.len ? x->text.len : y->text.len;
    int c = memcmp(x->text.data, y->text.data, n);

    if (c != 0)
        return c;
    if (x->text.len != y->text.len)
        return x->text.len < y->text.len ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* Of equal texts the last id stays.  longest_at() relies on there being no two. */
static void drop_doubles(struct special *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (kept > 0 && s->items[kept - 1].text.len == s->items[i].text.len &&
            memcmp(s->items[kept - 1].text.data, s->items[i].text.data, s->items[i].text.len) == 0)
            kept--;
        s->items[kept++] = s->items[i];
    }
    s->n = kept;
}

/* Sorts s->items and finds where the items of each first byte begin. */
static void index_items(struct special *s)
{
    size_t i = 0;

    if (s->n > 0)
        qsort(s->items, s->n, sizeof *s->items, compare);
    drop_doubles(s);
    for (size_t c = 0; c < 256; c++) {
        for (s->first[c] = (uint32_t)i; i < s->n && (unsigned char)s->items[i].text.data[0] == c;
             i++) {
            s->any_starts[c] = true;
            s->user_starts[c] |= !s->items[i].control;
        }
    }
    s->first[256] = (uint32_t)s->n;
}

int special_init_items(struct special *s, const struct special_item *items, size_t n, struct err *e)
{
    *s = (struct special){ 0 };
    s->items = calloc(n + 1, sizeof *s->items);
    if (!s->items)
        return err_set(e, ERR_NOMEM, "no memory for %zu special tokens", n);
    if (n > 0)
        memcpy(s->items, items, n * sizeof *items);
    s->n = n;
    index_items(s);
    return 0;
}

int special_init(struct special *s, const struct vocab *v, struct err *e)
{
    size_t n = 0;

    *s = (struct special){ 0 };
    for (size_t id = 0; id < v->n; id++)
        n += vocab_is_control(v, id) || v->type[id] == TOKEN_USER;
    s->items = calloc(n + 1, sizeof *s->items);
    if (!s->items)
        return err_set(e, ERR_NOMEM, "no memory for %zu special tokens", n);
    for (size_t id = 0; id < v->n; id++) {
        struct str text = strtab_get(&v->texts, id);

        if (text.len == 0 || (!vocab_is_control(v, id) && v->type[id] != TOKEN_USER))
            continue;
        s->items[s->n++] = (struct special_item){ .text = text,
                                                  .id = (int32_t)id,
                                                  .control = vocab_is_control(v, id) };
    }
    index_items(s);
    return 0;
}

void special_done(struct special *s)
{
    free(s->items);
    *s = (struct special){ 0 };
}

void special_eat_blanks(struct special *s)
{
    static const char *const except[] = { "<unk>", "<s>", "<|endoftext|>" };

    for (size_t i = 0; i < s->n; i++) {
        struct special_item *item = &s->items[i];

        item->eats_blank = true;
        for (size_t k = 0; k < 3; k++)
            if (item->text.len == strlen(except[k]) &&
                memcmp(item->text.data, except[k], item->text.len) == 0)
                item->eats_blank = false;
    }
}

/* The first of items lo .. hi - 1 (all longer than depth and equal up to there) whose byte at depth
 * is at least c. */
static size_t lower_bound(const struct special *s, size_t lo, size_t hi, size_t depth, unsigned c)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if ((unsigned char)s->items[mid].text.data[depth] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Spans behind `at` are gone already (special_next); those from at + len on cannot touch. */
static bool touches_plain(const struct special_search *q, size_t at, size_t len)
{
    if (q->marks)
        for (size_t i = at; i < at + len; i++)
            if (q->marks[i])
                return true;
    for (size_t i = 0; i < q->n_plain && q->plain[i].start < at + len; i++)
        if (q->plain[i].end > at && q->plain[i].end > q->plain[i].start)
            return true;
    return false;
}

static const struct special_item *longest_at(const struct special *s,
                                             const struct special_search *q, size_t at)
{
    unsigned c = (unsigned char)q->text[at];
    size_t lo = s->first[c], hi = s->first[c + 1];
    const struct special_item *best = NULL;

    /* Items lo .. hi - 1 agree with the text up to depth.  One that ends there comes first of them,
     * as a text sorts before the longer ones it begins. */
    for (size_t depth = 1; lo < hi; depth++) {
        const struct special_item *item = &s->items[lo];

        if (item->text.len == depth) {
            if (!item->control || (q->parse && !touches_plain(q, at, depth)))
                best = item;
            lo++;
        }
        if (depth == q->len - at)
            break;
        c = (unsigned char)q->text[at + depth];
        lo = lower_bound(s, lo, hi, depth, c);
        hi = lower_bound(s, lo, hi, depth, c + 1);
    }
    return best;
}

const struct special_item *special_next(const struct special *s, struct special_search *q,
                                        size_t from, size_t *at)
{
    const bool *starts = q->parse ? s->any_starts : s->user_starts;

    for (; from < q->len; from++) {
        const struct special_item *item;

        if (!starts[(unsigned char)q->text[from]])
            continue;
        /* from only grows, so spans left behind are never needed again */
        while (q->n_plain > 0 && q->plain->end <= from) {
            q->plain++;
            q->n_plain--;
        }
        if ((item = longest_at(s, q, from))) {
            *at = from;
            return item;
        }
    }
    return NULL;
}
