/* asking.h - an engine on a model of tests/data/gguf, and questions put to it. */
#ifndef AIRSTRIP_TESTS_ASKING_H
#define AIRSTRIP_TESTS_ASKING_H

#include "inference/engine.h"
#include "kernels/base/buf.h"

enum { ASKING_MAX_IDS = 2048 };

/* What came back, all events joined. */
struct answered {
    struct buf text;  /* never NULL data once something came */
    struct buf bytes; /* of the tokens taken, joined */
    int32_t ids[ASKING_MAX_IDS];
    float logprobs[ASKING_MAX_IDS];
    size_t n_ids; /* with logprobs */
    size_t n_texts, n_tokens;
    bool started, failed;
    enum finish finish;
    struct usage usage;
    struct err err;
    float *vector; /* [n_vector] or NULL */
    size_t n_vector;
};
void answered_done(struct answered *a);

/* Opens, waits until ready.  c->model_path NULL: llama-Q8_0.gguf.  c->isa NULL: what
 * AIRSTRIP_ISA says. */
struct engine *asking_open(struct engine_config c);

/* The same without waiting. */
struct engine *asking_open_only(struct engine_config c);

/* A request at temperature 0 with ids from a fixed stream of pseudo-random ones. */
struct job_request asking_request(const int32_t *ids, size_t n, size_t max_tokens);
void asking_ids(int32_t *ids, size_t n, uint64_t seed);

/* For prompt i of many: such ids, below 320, which all models of tests/data/gguf have; every other
 * prompt repeats itself, so that there is something to guess. */
void asking_prompt(int32_t *ids, size_t n, size_t i, uint64_t seed);

/* Reads the events of one inbox until its job has ended; checks their order. */
void asking_collect(struct inbox *in, struct answered *a);

/* Submits and collects.  ERR_* of engine_submit(). */
int ask(struct engine *g, const struct job_request *r, struct answered *a);

/* Until nothing runs or waits. */
void asking_settle(struct engine *g);

#endif
