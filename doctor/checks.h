/* checks.h - what is asked of /v1/selftest (fcgi/api/selftest.c), and what the answers mean.
 *
 * Each check asks by itself and says at least one thing in the report.  One thread, but for
 * check_silence_begin()'s own. */
#ifndef AIRSTRIP_DOCTOR_CHECKS_H
#define AIRSTRIP_DOCTOR_CHECKS_H

#include <pthread.h>
#include <stdbool.h>

#include "doctor/ask.h"
#include "doctor/report.h"
#include "kernels/base/arena.h"
#include "kernels/base/value.h"

enum { ASK_TIMEOUT_MS = 60000, ASK_JSON_DEPTH = 8 };

struct visit {
    struct site site;
    bool has_key; /* the operator gave one */
    struct report *report;
    long long body_limit; /* Airstrip's own, in bytes; 0: unknown */
    bool apart;           /* events come one by one over HTTP/1.1 */
};

/* The first question: who is there, and whether the Authorization header arrives.  0: go on.
 * ERR_IO, ERR_NOTFOUND, ERR_FORBIDDEN: nothing can be looked at, and why.
 * ERR_CANCELLED: what was found lets nothing else be looked at. */
int check_first(struct visit *v, struct err *e) MUST_CHECK;

void check_events(struct visit *v);
void check_http2(struct visit *v);
void check_bodies(struct visit *v);
void check_paths(struct visit *v);
void check_errors(struct visit *v);
void check_methods(struct visit *v);

/* A question that takes silence_ms to be answered, asked while others are. */
struct silence {
    struct visit *visit;
    long silence_ms;
    bool running;
    pthread_t thread;
    struct answer answer;
};

void check_silence_begin(struct silence *s, struct visit *v, long silence_ms);
void check_silence_end(struct silence *s);

/* The answer's body as JSON, in the arena; NULL where it is none. */
struct value *answer_json(const struct answer *a, struct arena *arena);

#endif
