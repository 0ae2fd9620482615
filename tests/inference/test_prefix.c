/* prefix and kvcache: random sequences against a plain model that remembers, for every page, the
 * whole text up to its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/kvcache.h"
#include "inference/sampler.h"
#include "tests/inference/refbackend.h"

enum { PAGE = 4, N_PAGES = 24, N_SEQS = 6, MAX_IDS = 40, MAX_PAGES = MAX_IDS / PAGE };

static const struct kv_shape SHAPE = {
    .n_layers = 1, .n_kv = 1, .head_dim = 2, .n_pages = N_PAGES, .page_tokens = PAGE
};

struct seq {
    struct kv_table table;
    int32_t ids[MAX_IDS];
    size_t n_done, worst; /* worst: pages promised; 0 = this place is empty */
};

/* What stands in a page: the text that led to it, and its own tokens. */
struct text {
    int32_t ids[MAX_IDS];
    size_t n;
};

struct world {
    struct device *device;
    struct kvcache c;
    struct seq seqs[N_SEQS];
    struct text written[N_PAGES];
    size_t promised, n_reused, n_forgotten, n_swapped, n_copied;
    struct rng rng;
};

/* The last kv_copy(), and how many there were. */
static struct {
    int32_t from, to;
    size_t n_tokens, n;
} copy;

static void note_copy(struct device *d, struct kv *kv, int32_t from, int32_t to, size_t n)
{
    (void)d, (void)kv;
    copy.from = from;
    copy.to = to;
    copy.n_tokens = n;
    copy.n++;
}

static size_t below(struct world *w, size_t n)
{
    return (size_t)(rng_uniform(&w->rng) * (double)n);
}

static void open_cache(struct world *w, uint64_t seed)
{
    static struct backend noting;

    noting = refbackend;
    noting.kv_copy = note_copy;
    *w = (struct world){ .rng = { seed } };
    assert_int_equal(refbackend.open(&w->device, &(struct backend_options){ 0 }, NULL), 0);
    assert_int_equal(kvcache_open(&w->c, &noting, w->device, &SHAPE, NULL), 0);
}

static void close_cache(struct world *w)
{
    kvcache_close(&w->c);
    refbackend.close(w->device);
    assert_int_equal(refbackend_live, 0);
}

/* --- invariants --- */

/* The ring holds exactly the pages in no table, blank ones first; place[page] counts from 1. */
static void check_ring(const struct world *w, size_t place[N_PAGES])
{
    const struct kvcache *c = &w->c;
    size_t n = 0, n_cached = 0;
    int32_t before = N_PAGES;

    memset(place, 0, N_PAGES * sizeof *place);
    for (int32_t p = c->links[N_PAGES].next; p != N_PAGES; p = c->links[p].next) {
        assert_in_range(p, 0, N_PAGES - 1);
        assert_int_equal(place[p], 0);
        assert_int_equal(c->refs[p], 0);
        assert_int_equal(c->links[p].prev, before);
        if (prefix_has(&c->prefix, p))
            n_cached++;
        else
            assert_int_equal(n_cached, 0);
        place[p] = ++n;
        before = p;
    }
    assert_int_equal(c->links[N_PAGES].prev, before);
    assert_int_equal(n, c->n_free);
    assert_int_equal(n_cached, c->n_cached);
}

/* Length of the text that ends with what page p is entered with. */
static size_t known_of(const struct world *w, int32_t p)
{
    const struct prefix_node *node = &w->c.prefix.nodes[p];
    size_t n = node->n;

    for (p = node->parent; p != PREFIX_NONE; p = w->c.prefix.nodes[p].parent)
        n += PAGE;
    return n;
}

static void check(const struct world *w)
{
    const struct kvcache *c = &w->c;
    size_t place[N_PAGES], tables[N_PAGES] = { 0 }, n_entered = 0;

    for (size_t s = 0; s < N_SEQS; s++)
        for (size_t i = 0; i < w->seqs[s].table.n_pages; i++)
            tables[w->seqs[s].table.pages[i]]++;
    check_ring(w, place);
    for (int32_t p = 0; p < N_PAGES; p++) {
        int32_t parent = c->prefix.nodes[p].parent;

        assert_int_equal(c->refs[p], tables[p]);
        assert_int_equal(place[p] != 0, tables[p] == 0);
        if (!prefix_has(&c->prefix, p))
            continue;
        n_entered++;
        assert_in_range(known_of(w, p), 1, w->written[p].n); /* more may have been written since */
        assert_memory_equal(c->prefix.tokens + p * PAGE,
                            w->written[p].ids + known_of(w, p) - c->prefix.nodes[p].n,
                            c->prefix.nodes[p].n * sizeof(int32_t));
        if (parent == PREFIX_NONE)
            continue;
        assert_true(prefix_has(&c->prefix, parent));
        assert_int_equal(c->prefix.nodes[parent].n, PAGE);
        assert_memory_equal(w->written[parent].ids, w->written[p].ids,
                            known_of(w, parent) * sizeof(int32_t));
        assert_true(place[parent] == 0 || place[parent] > place[p]);
    }
    assert_int_equal(n_entered, c->prefix.n_entered);
}

/* --- what a batch does --- */

static bool holds(const struct world *w, int32_t page, const int32_t *ids, size_t n)
{
    return w->written[page].n == n && !memcmp(w->written[page].ids, ids, n * sizeof *ids);
}

/* The longest prefix that any page knows, by looking at all of them. */
static size_t longest(const struct world *w, const int32_t *ids, size_t n_tokens)
{
    size_t best = 0;

    for (int32_t p = 0; p < N_PAGES; p++) {
        size_t n = 0, most;

        if (!prefix_has(&w->c.prefix, p))
            continue;
        most = known_of(w, p) < n_tokens ? known_of(w, p) : n_tokens;
        while (n < most && w->written[p].ids[n] == ids[n])
            n++;
        best = n > best ? n : best;
    }
    return best;
}

/* The page that was copied held the text up to there, and the copy is nobody else's. */
static void follow_copy(struct world *w, struct seq *s, size_t n_copies)
{
    int32_t page = s->table.pages[s->table.n_pages - 1];

    assert_int_equal(copy.n, n_copies + 1);
    assert_int_equal(copy.to, page);
    assert_int_not_equal(copy.from, page);
    assert_int_equal(copy.n_tokens, s->n_done % PAGE);
    assert_true(w->written[copy.from].n >= s->n_done);
    assert_memory_equal(w->written[copy.from].ids, s->ids, s->n_done * sizeof *s->ids);
    assert_int_equal(w->c.refs[page], 1);
    w->written[page].n = s->n_done;
    memcpy(w->written[page].ids, s->ids, s->n_done * sizeof *s->ids);
    w->n_copied++;
}

static void start(struct world *w, struct seq *s)
{
    size_t n_prompt = 1 + below(w, MAX_IDS), worst = (n_prompt + PAGE - 1) / PAGE, want;
    size_t entered, n_copies;

    if (w->promised + worst > N_PAGES)
        return;
    for (size_t i = 0; i < MAX_IDS; i++) /* beginnings are often shared, the rest seldom */
        s->ids[i] = (int32_t)below(w, i % PAGE ? 1 + i / 12 : 2);
    want = longest(w, s->ids, n_prompt - 1);
    entered = w->c.prefix.n_entered;
    n_copies = copy.n;
    s->n_done = kvcache_reuse(&w->c, &s->table, s->ids, n_prompt - 1);
    w->n_forgotten += entered - w->c.prefix.n_entered;
    if (s->n_done != want) { /* only where no page was to be had for a copy */
        assert_int_equal(s->n_done, want / PAGE * PAGE);
        assert_true(w->c.n_free <= 1);
    }
    assert_int_equal(s->table.n_pages, (s->n_done + PAGE - 1) / PAGE);
    for (size_t i = 0; i < s->n_done / PAGE; i++)
        assert_true(holds(w, s->table.pages[i], s->ids, (i + 1) * PAGE));
    if (s->n_done % PAGE)
        follow_copy(w, s, n_copies);
    s->worst = worst;
    w->promised += worst;
    w->n_reused += s->n_done;
}

/* Evaluates some more, within what was promised: there must be pages. */
static void advance(struct world *w, struct seq *s)
{
    size_t room = s->worst * PAGE - s->n_done, n = below(w, room + 1);
    size_t entered = w->c.prefix.n_entered;

    assert_int_equal(kvcache_grow(&w->c, &s->table, s->n_done + n, NULL), 0);
    w->n_forgotten += entered - w->c.prefix.n_entered;
    for (size_t i = s->n_done; i < s->n_done + n; i++) {
        struct text *t = &w->written[s->table.pages[i / PAGE]];

        assert_int_equal(w->c.refs[s->table.pages[i / PAGE]], 1); /* nobody else reads there */
        if (prefix_has(&w->c.prefix, s->table.pages[i / PAGE]))   /* nor is it known so far */
            assert_true(known_of(w, s->table.pages[i / PAGE]) <= i);
        t->n = i + 1;
        memcpy(t->ids, s->ids, t->n * sizeof *t->ids);
    }
    s->n_done += n;
}

static void keep(struct world *w, struct seq *s)
{
    int32_t before[MAX_PAGES + 1] = { 0 };

    memcpy(before, s->table.pages ? s->table.pages : before, s->table.n_pages * sizeof *before);
    kvcache_keep(&w->c, &s->table, s->ids, s->n_done);
    for (size_t i = 0; i < s->n_done / PAGE; i++) {
        assert_true(holds(w, s->table.pages[i], s->ids, (i + 1) * PAGE));
        assert_true(prefix_has(&w->c.prefix, s->table.pages[i]));
        w->n_swapped += before[i] != s->table.pages[i];
    }
    assert_int_equal(longest(w, s->ids, s->n_done), s->n_done);
}

static void end(struct world *w, struct seq *s, bool kept)
{
    if (kept)
        keep(w, s);
    kvcache_drop(&w->c, &s->table);
    w->promised -= s->worst;
    *s = (struct seq){ 0 };
}

static void run(uint64_t seed, bool one_chain)
{
    struct world w;

    open_cache(&w, seed);
    if (one_chain)
        w.c.prefix.mask = 0; /* as if all hashes were equal */
    for (int i = 0; i < 3000; i++) {
        struct seq *s = &w.seqs[below(&w, N_SEQS)];
        size_t what = below(&w, 8);

        if (!s->worst)
            start(&w, s);
        else if (what < 4)
            advance(&w, s);
        else if (what < 6)
            keep(&w, s);
        else
            end(&w, s, what == 6);
        check(&w);
    }
    for (size_t i = 0; i < N_SEQS; i++)
        end(&w, &w.seqs[i], true);
    check(&w);
    assert_int_equal(w.c.n_free, N_PAGES);
    assert_int_equal(w.c.n_cached, w.c.prefix.n_entered);
    print_message("# %zu tokens reused, %zu pages forgotten, %zu swapped, %zu copied\n", w.n_reused,
                  w.n_forgotten, w.n_swapped, w.n_copied);
    assert_true(w.n_reused > 1000 && w.n_forgotten > 100 && w.n_swapped > 20 && w.n_copied > 100);
    assert_int_equal(w.c.n_evicted, w.n_forgotten);
    assert_true(w.c.n_lookups > w.c.n_hits && w.c.n_hits > 50);
    close_cache(&w);
}

static void random_sequences_against_a_plain_model(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++)
        run(seed, seed % 4 == 3);
}

/* --- one thing at a time --- */

/* A sequence of n ids, all `id`, evaluated, entered and gone. */
static void pass(struct world *w, int32_t id, size_t n)
{
    struct kv_table t = { 0 };
    int32_t ids[MAX_IDS];

    for (size_t i = 0; i < n; i++)
        ids[i] = id;
    kvcache_reuse(&w->c, &t, ids, n);
    assert_int_equal(kvcache_grow(&w->c, &t, n, NULL), 0);
    kvcache_keep(&w->c, &t, ids, n);
    kvcache_drop(&w->c, &t);
}

static size_t known(struct world *w, int32_t id, size_t n)
{
    struct kv_table t = { 0 };
    int32_t ids[MAX_IDS];
    size_t found;

    for (size_t i = 0; i < n; i++)
        ids[i] = id;
    found = kvcache_reuse(&w->c, &t, ids, n);
    kvcache_drop(&w->c, &t);
    return found;
}

static void known_to_the_token(void **state)
{
    struct world w;

    (void)state;
    open_cache(&w, 1);
    assert_int_equal(known(&w, 7, 8), 0);
    pass(&w, 7, PAGE - 1);
    assert_int_equal(w.c.prefix.n_entered, 1);
    pass(&w, 7, PAGE - 1); /* no need to know it twice */
    assert_int_equal(w.c.prefix.n_entered, 1);
    pass(&w, 7, 3 * PAGE + 1);
    assert_int_equal(w.c.prefix.n_entered, 5);
    assert_int_equal(w.c.n_free, N_PAGES);
    assert_int_equal(w.c.n_cached, 5);
    assert_int_equal(known(&w, 7, PAGE - 1), PAGE - 1);
    assert_int_equal(known(&w, 7, PAGE), PAGE);
    assert_int_equal(known(&w, 7, 3 * PAGE - 1), 3 * PAGE - 1);
    assert_int_equal(known(&w, 7, 9 * PAGE), 3 * PAGE + 1);
    assert_int_equal(known(&w, 8, 9 * PAGE), 0);
    close_cache(&w);
}

static void the_least_recently_used_goes_first_from_its_end(void **state)
{
    struct kv_table t = { 0 };
    struct world w;

    (void)state;
    open_cache(&w, 1);
    pass(&w, 1, 8 * PAGE);
    pass(&w, 2, 8 * PAGE);
    pass(&w, 3, 8 * PAGE); /* full now */
    assert_int_equal(w.c.n_cached, N_PAGES);
    assert_int_equal(known(&w, 1, 8 * PAGE), 8 * PAGE); /* used again: 2 is the oldest */
    assert_int_equal(kvcache_grow(&w.c, &t, 3 * PAGE, NULL), 0);
    assert_int_equal(known(&w, 2, 8 * PAGE), 5 * PAGE); /* and now 3 */
    assert_int_equal(kvcache_grow(&w.c, &t, 10 * PAGE, NULL), 0);
    assert_int_equal(known(&w, 1, 8 * PAGE), 8 * PAGE);
    assert_int_equal(known(&w, 2, 8 * PAGE), 5 * PAGE);
    assert_int_equal(known(&w, 3, 8 * PAGE), PAGE);
    kvcache_drop(&w.c, &t); /* never entered: blank again */
    assert_int_equal(w.c.n_cached, 14);
    close_cache(&w);
}

/* What a sequence shares cannot be taken from it, however little is left. */
static void pages_in_use_are_not_given_out(void **state)
{
    struct kv_table user = { 0 }, t = { 0 };
    int32_t ids[MAX_IDS] = { 0 };
    struct world w;

    (void)state;
    open_cache(&w, 1);
    pass(&w, 0, 6 * PAGE);
    assert_int_equal(kvcache_reuse(&w.c, &user, ids, 4 * PAGE), 4 * PAGE);
    assert_int_equal(kvcache_grow(&w.c, &t, 21 * PAGE, NULL), ERR_BUSY);
    assert_int_equal(kvcache_grow(&w.c, &t, 20 * PAGE, NULL), 0);
    assert_int_equal(known(&w, 0, 6 * PAGE), 4 * PAGE);
    assert_int_equal(w.c.n_free, 0);
    for (size_t i = 0; i < t.n_pages; i++)
        for (size_t k = 0; k < user.n_pages; k++)
            assert_int_not_equal(t.pages[i], user.pages[k]);
    kvcache_drop(&w.c, &t);
    kvcache_drop(&w.c, &user);
    close_cache(&w);
}

static void sizes_out_of_range(void **state)
{
    struct prefix p;
    struct err e;

    (void)state;
    assert_int_equal(prefix_open(&p, 0, 1, &e), ERR_INVALID);
    assert_int_equal(prefix_open(&p, 1, 0, &e), ERR_INVALID);
    assert_int_equal(prefix_open(&p, (size_t)INT32_MAX + 1, 1, &e), ERR_INVALID);
    assert_int_equal(prefix_open(&p, 16, SIZE_MAX / 8, &e), ERR_INVALID);
    assert_int_equal(prefix_open(&p, 1, 1, &e), 0);
    assert_int_equal(prefix_find(&p, PREFIX_NONE, (int32_t[]){ 5 }), PREFIX_NONE);
    prefix_close(&p);
    prefix_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_sequences_against_a_plain_model),
        cmocka_unit_test(known_to_the_token),
        cmocka_unit_test(the_least_recently_used_goes_first_from_its_end),
        cmocka_unit_test(pages_in_use_are_not_given_out),
        cmocka_unit_test(sizes_out_of_range),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
