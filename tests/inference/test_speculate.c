/* speculate: what it follows is compared with a search of the whole sequence at every token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/sampler.h"
#include "inference/speculate.h"

enum { MAX = 600 };

/* A sequence with its speculate, and the plain things that are known about it. */
struct sequence {
    int32_t ids[MAX], prediction[MAX];
    size_t n_prediction, n_prompt, n, n_kinds; /* kinds: ids are below */
    struct speculate s;
};

static int32_t at(const struct sequence *q, size_t place)
{
    return place < q->n_prediction ? q->prediction[place] : q->ids[place - q->n_prediction];
}

/* Equal tokens before `place` and at the end. */
static size_t agreement(const struct sequence *q, size_t place)
{
    size_t first = place > q->n_prediction ? q->n_prediction : 0, k = 0;

    while (k < place - first && k < q->n && k < SPECULATE_MAX_MATCH &&
           at(q, place - 1 - k) == q->ids[q->n - 1 - k])
        k++;
    return k;
}

/* The most tokens any place agrees with. */
static size_t best_agreement(const struct sequence *q)
{
    size_t best = 0;

    for (size_t place = 1; place < q->n_prediction + q->n; place++)
        if (place != q->n_prediction && agreement(q, place) > best)
            best = agreement(q, place);
    return best;
}

/* What holds whatever was pushed. */
static void check(const struct sequence *q)
{
    const struct speculate *s = &q->s;
    size_t total = q->n_prediction + q->n;

    assert_int_equal(s->n_ids, q->n);
    if (!s->found) {
        assert_true(speculate_chance(s, 0) <= 0);
        return;
    }
    assert_true(s->next < total && (s->next != q->n_prediction || !q->n_prediction));
    for (size_t i = 0; i < SPECULATE_MAX_DRAFT; i++) {
        float chance = speculate_chance(s, i);

        assert_true(chance >= 0 && chance <= 1);
        if (s->next < q->n_prediction && s->next + i >= q->n_prediction) {
            assert_true(chance <= 0);
            continue;
        }
        assert_true(chance > 0);
        if (s->next + i < total)
            assert_int_equal(speculate_guess(s, i), at(q, s->next + i));
        else /* goes round: what was guessed a period before */
            assert_int_equal(speculate_guess(s, i), speculate_guess(s, i - (total - s->next)));
    }
}

static void push(struct sequence *q, int32_t id)
{
    bool found = q->s.found;
    size_t next = q->s.next, match = q->s.match, predicted = q->s.n_predicted;
    bool right = found && speculate_guess(&q->s, 0) == id;

    q->ids[q->n++] = id;
    speculate_push(&q->s);
    check(q);
    assert_int_equal(q->s.n_predicted, predicted + (right && next < q->n_prediction));
    if (right && next + 1 != q->n_prediction) { /* followed, or left for a better one */
        assert_true(q->s.found);
        assert_true(q->s.match >= (match < SPECULATE_MAX_MATCH ? match + 1 : match));
        return;
    }
    if (q->s.found && q->s.match)
        assert_int_equal(q->s.match, agreement(q, q->s.next));
    /* Few of many candidates are looked at: with hardly any kinds of tokens the best may not be. */
    if (q->n_kinds >= 20 && best_agreement(q) >= 3)
        assert_true(q->s.found && (q->s.match >= 3 || q->s.next == next + 1));
    if (best_agreement(q) < 2)
        assert_true(!q->s.found || (q->s.match == 0 && q->s.next == next + 1));
}

static void begin(struct sequence *q)
{
    q->n = q->n_prompt;
    assert_true(speculate_init(&q->s, q->ids, q->n_prompt, MAX, q->prediction, q->n_prediction));
    check(q);
    if (q->n_prediction) {
        assert_true(q->s.found);
        assert_int_equal(q->s.next, 0);
    } else if (best_agreement(q) >= 3) {
        assert_true(q->s.found && q->s.match == agreement(q, q->s.next) && q->s.match >= 3);
    }
}

static int32_t random_id(struct rng *r, size_t n)
{
    return (int32_t)(rng_uniform(r) * (double)n);
}

/* Sequences over alphabets of many sizes; parts of them quote what was there before. */
static void follows_like_a_search(void **state)
{
    static const size_t ALPHABETS[] = { 1, 2, 3, 5, 20, 1000, 200000 };
    struct sequence *q = calloc(1, sizeof *q);
    struct rng r = { 7 };

    (void)state;
    assert_non_null(q);
    for (size_t i = 0; i < 140; i++) {
        size_t n = ALPHABETS[i % 7], from = 0, quote = 0;

        q->n_kinds = n;
        q->n_prompt = 1 + (size_t)random_id(&r, 120);
        q->n_prediction = i % 3 ? 0 : (size_t)random_id(&r, 40);
        for (size_t k = 0; k < q->n_prompt; k++)
            q->ids[k] = random_id(&r, n);
        for (size_t k = 0; k < q->n_prediction; k++)
            q->prediction[k] = random_id(&r, n);
        begin(q);
        while (q->n < 300) {
            if (!quote) {
                quote = (size_t)random_id(&r, 30);
                from = (size_t)random_id(&r, q->n_prediction + q->n);
            }
            quote -= quote > 0;
            push(q, quote && rng_uniform(&r) < 0.95 ? at(q, from++) : random_id(&r, n));
        }
        speculate_done(&q->s);
    }
    free(q);
}

/* How many of the tokens pushed had been guessed. */
static size_t push_all(struct sequence *q, const int32_t *ids, size_t n)
{
    size_t right = 0;

    for (size_t i = 0; i < n; i++) {
        right += speculate_chance(&q->s, 0) > 0 && speculate_guess(&q->s, 0) == ids[i];
        push(q, ids[i]);
    }
    return right;
}

static void quotes_are_guessed(void **state)
{
    struct sequence *q = calloc(1, sizeof *q);
    int32_t text[100];

    (void)state;
    assert_non_null(q);
    for (int32_t i = 0; i < 100; i++)
        text[i] = 50 + i;
    memcpy(q->ids, text, sizeof text);
    q->n_prompt = 101; /* the last one a token of its own */
    begin(q);
    assert_int_equal(push_all(q, text, 100), 98); /* two tokens tell where */
    assert_true(speculate_chance(&q->s, 14) > 0.5f);
    speculate_done(&q->s);

    begin(q);
    text[30] = 7; /* one word is another: the place behind it is tried at once */
    text[60] = 8;
    assert_int_equal(push_all(q, text, 100), 96);
    speculate_done(&q->s);

    begin(q); /* a word more: found again after two tokens */
    assert_int_equal(push_all(q, text + 70, 10), 8);
    (void)push_all(q, text + 30, 1);
    assert_int_equal(push_all(q, text + 80, 20), 18);
    speculate_done(&q->s);
    free(q);
}

static void predictions_are_tried_first(void **state)
{
    struct sequence *q = calloc(1, sizeof *q);
    static const int32_t ANSWER[] = { 1, 2, 3, 4, 9, 6, 7, 8 };

    (void)state;
    assert_non_null(q);
    q->n_prompt = 3;
    memcpy(q->ids, (int32_t[]){ 100, 101, 102 }, 12);
    q->n_prediction = 8;
    memcpy(q->prediction, (int32_t[]){ 1, 2, 3, 4, 5, 6, 7, 8 }, 32);
    begin(q);
    assert_int_equal(push_all(q, ANSWER, 8), 7);
    assert_int_equal(q->s.n_predicted, 7);
    assert_false(q->s.found); /* its end says nothing */
    speculate_done(&q->s);
    free(q);
}

/* Loops are guessed beyond their end; what never comes true stops being thought likely. */
static void chances_follow_what_happens(void **state)
{
    struct sequence *q = calloc(1, sizeof *q);
    struct rng r = { 3 };

    (void)state;
    assert_non_null(q);
    q->n_prompt = 3;
    memcpy(q->ids, (int32_t[]){ 1, 2, 3 }, 12);
    begin(q);
    for (int i = 0; i < 40; i++)
        push(q, 1 + i % 3);
    assert_true(speculate_chance(&q->s, SPECULATE_MAX_DRAFT - 1) > 0.95f);
    for (size_t i = 0; i < SPECULATE_MAX_DRAFT; i++)
        assert_int_equal(speculate_guess(&q->s, i), 1 + (int32_t)(40 + i) % 3);
    speculate_done(&q->s);

    begin(q);
    for (int i = 0; i < 500; i++)
        push(q, random_id(&r, 20));
    assert_true(!q->s.found || speculate_chance(&q->s, 0) < 0.2f);
    speculate_done(&q->s);
    free(q);
}

static void without_an_index_nothing_is_guessed(void **state)
{
    static const int32_t IDS[] = { 1, 2, 1, 2 };
    struct speculate s;

    (void)state;
    assert_false(speculate_init(&s, IDS, 4, (size_t)UINT32_MAX + 1, NULL, 0));
    speculate_push(&s);
    assert_true(speculate_chance(&s, 0) <= 0);
    assert_int_equal(s.n_predicted, 0);
    speculate_done(&s);

    assert_true(speculate_init(&s, IDS, 4, 4, NULL, 0)); /* full: pushes change nothing */
    speculate_push(&s);
    assert_int_equal(s.n_ids, 4);
    speculate_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_like_a_search),
        cmocka_unit_test(quotes_are_guessed),
        cmocka_unit_test(predictions_are_tried_first),
        cmocka_unit_test(chances_follow_what_happens),
        cmocka_unit_test(without_an_index_nothing_is_guessed),
    };

    return cmocka_run_group_tests_name("speculate", tests, NULL, NULL);
}
