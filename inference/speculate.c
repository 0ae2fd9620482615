/* speculate.c - a chained hash of three tokens, and one of two as a last resort.
 *
 * Of the latest few places where the last three tokens stood, the one is followed that agrees with
 * the most tokens before.  After a guess that failed, the place behind it is kept in mind: where a
 * quote only differs in a word, it goes on from there. */
#include "inference/speculate.h"

#include <stdlib.h>
#include <string.h>

enum {
    MIN_HEADS = 1 << 8,
    MAX_HEADS =
        1 << 16, /* memory of an index: two of these tables and one of places, 4 bytes each */
    MAX_CANDIDATES = 8,
    LONG_MATCH = 8,       /* no search for a better one any more */
    PREDICTION_MATCH = 8, /* a prediction's start counts as so many tokens that agree */
};

/* How fast a chance follows what is seen. */
static const float RATE = 1.0f / 8;

/* Longest match of each class, and the chance it starts with: roughly what English prose, source
 * code and JSON give. */
static const struct {
    size_t max_match;
    float chance;
} CLASSES[SPECULATE_CLASSES] = {
    { 0, 0.30f }, { 1, 0.50f },  { 2, 0.20f },
    { 3, 0.40f }, { 4, 0.50f },  { 6, 0.65f },
    { 9, 0.80f }, { 15, 0.88f }, { SPECULATE_MAX_MATCH, 0.94f },
};

static size_t class_of(size_t match)
{
    size_t c = 0;

    while (c + 1 < SPECULATE_CLASSES && match > CLASSES[c].max_match)
        c++;
    return c;
}

static size_t n_places(const struct speculate *s)
{
    return s->n_prediction + s->n_ids;
}

static int32_t token(const struct speculate *s, size_t place)
{
    return place < s->n_prediction ? s->prediction[place] : s->ids[place - s->n_prediction];
}

static uint32_t hash(const struct speculate *s, const int32_t *last, size_t n)
{
    uint64_t h = 0;

    for (size_t i = 0; i < n; i++)
        h = (h + (uint32_t)last[i] + 1) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32) & s->mask;
}

/* end: one past the last of the tokens t[0 .. end) that are looked at; their place is known. */
static void enter(struct speculate *s, const int32_t *t, size_t end, size_t place)
{
    if (end >= 2)
        s->heads2[hash(s, t + end - 2, 2)] = (uint32_t)place;
    if (end >= 3) {
        uint32_t *head = &s->heads3[hash(s, t + end - 3, 3)];

        s->older3[place] = *head;
        *head = (uint32_t)place;
    }
}

/* How many tokens before `place` are those at the sequence's end. */
static size_t agreement(const struct speculate *s, size_t place)
{
    size_t first = place > s->n_prediction ? s->n_prediction : 0, n = place - first, k = 0;

    if (n > s->n_ids)
        n = s->n_ids;
    if (n > SPECULATE_MAX_MATCH)
        n = SPECULATE_MAX_MATCH;
    while (k < n && token(s, place - 1 - k) == s->ids[s->n_ids - 1 - k])
        k++;
    return k;
}

/* What is at the end of the prediction is followed by nothing that could be guessed. */
static bool is_guess(const struct speculate *s, size_t place)
{
    return place > 0 && place < n_places(s) && place != s->n_prediction;
}

/* Takes `place` where it agrees with at least `least` tokens and with more than what there is. */
static void consider(struct speculate *s, size_t place, size_t least)
{
    size_t match = is_guess(s, place) ? agreement(s, place) : 0;

    if (match < least || (s->found && match <= s->match))
        return;
    s->found = true;
    s->next = (uint32_t)place;
    s->match = match;
}

/* A place that agrees better than the one followed, if any. */
static void look_better(struct speculate *s)
{
    uint32_t place = s->n_ids < 3 ? 0 : s->heads3[hash(s, s->ids + s->n_ids - 3, 3)];

    for (size_t i = 0; place && i < MAX_CANDIDATES; i++, place = s->older3[place])
        consider(s, place, 3);
}

/* Any place that agrees; behind: where the last guess failed, 0 for none. */
static void look_anew(struct speculate *s, size_t behind)
{
    const int32_t *end = s->ids + s->n_ids;

    s->found = false;
    look_better(s);
    if (!s->found && s->n_ids >= 2)
        consider(s, s->heads2[hash(s, end - 2, 2)], 2);
    if (is_guess(s, behind) && (!s->found || s->chance[0] > s->chance[class_of(s->match)])) {
        s->found = true;
        s->next = (uint32_t)behind;
        s->match = 0;
    }
}

bool speculate_init(struct speculate *s, const int32_t *ids, size_t n_ids, size_t max_ids,
                    const int32_t *prediction, size_t n_prediction)
{
    size_t heads = MIN_HEADS, places = max_ids + n_prediction;

    *s = (struct speculate){ .ids = ids,
                             .n_ids = n_ids,
                             .prediction = prediction,
                             .n_prediction = n_prediction,
                             .max_places = places };
    while (heads < places && heads < MAX_HEADS)
        heads *= 2;
    s->mask = (uint32_t)heads - 1;
    if (places < max_ids || places >= UINT32_MAX)
        goto fail;
    s->heads3 = calloc(heads, sizeof *s->heads3);
    s->heads2 = calloc(heads, sizeof *s->heads2);
    s->older3 = calloc(places + 1, sizeof *s->older3);
    if (!s->heads3 || !s->heads2 || !s->older3)
        goto fail;
    for (size_t c = 0; c < SPECULATE_CLASSES; c++)
        s->chance[c] = CLASSES[c].chance;
    for (size_t i = 1; i < n_ids; i++)
        enter(s, ids, i, n_prediction + i);
    for (size_t i = 1; i < n_prediction; i++) /* later, so preferred where both agree alike */
        enter(s, prediction, i, i);
    look_anew(s, 0);
    enter(s, ids, n_ids, n_prediction + n_ids);
    if (n_prediction) {
        s->found = true;
        s->next = 0;
        s->match = PREDICTION_MATCH;
    }
    return true;
fail:
    speculate_done(s);
    return false;
}

void speculate_done(struct speculate *s)
{
    free(s->heads3);
    free(s->heads2);
    free(s->older3);
    *s = (struct speculate){ 0 };
}

void speculate_push(struct speculate *s)
{
    size_t behind = 0;
    bool right = false;

    if (!s->heads3 || n_places(s) >= s->max_places)
        return;
    if (s->found) {
        float *chance = &s->chance[class_of(s->match)];

        right = token(s, s->next) == s->ids[s->n_ids];
        *chance += ((right ? 1.0f : 0.0f) - *chance) * RATE;
        if (right && s->next < s->n_prediction)
            s->n_predicted++;
        behind = s->next + 1;
    }
    s->n_ids++;
    if (right && is_guess(s, behind)) {
        s->next++;
        s->match += s->match < SPECULATE_MAX_MATCH;
        if (s->match < LONG_MATCH)
            look_better(s);
    } else {
        look_anew(s, right ? 0 : behind);
    }
    enter(s, s->ids, s->n_ids, n_places(s));
}

/* A prediction ends; a sequence that follows itself goes round. */
static bool is_within(const struct speculate *s, size_t i)
{
    return s->found && (s->next >= s->n_prediction || s->next + i < s->n_prediction);
}

float speculate_chance(const struct speculate *s, size_t i)
{
    return is_within(s, i) ? s->chance[class_of(s->match + i)] : 0;
}

int32_t speculate_guess(const struct speculate *s, size_t i)
{
    return token(s, s->next + i % (n_places(s) - s->next));
}
