/* bench_client.h - an engine and what is asked of it; one thread. */
#ifndef AIRSTRIP_BENCH_CLIENT_H
#define AIRSTRIP_BENCH_CLIENT_H

#include "tools/bench.h"

struct bench_client {
    struct engine *engine;
    struct inbox *inbox;
    int32_t *ids; /* [n_ids] random tokens, from which prompts are cut */
    size_t n_ids, n_vocab;
    bool stream_over; /* of gaps(): its end was told */
};

/* bench_quote.c: quote_tps and plain_tps. */
int bench_quote(struct bench_client *c, const struct bench_options *o, struct bench_result *r,
                struct err *e) MUST_CHECK;

/* bench_guided.c: guided_tps and guided_share. */
int bench_guided(struct bench_client *c, const struct bench_options *o, struct bench_result *r,
                 struct err *e) MUST_CHECK;

#endif
