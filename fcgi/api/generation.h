/* generation.h - one request's jobs, from submission to the last byte of the answer.
 *
 * Chat completions and completions differ in the shape of their JSON only: a struct dialect holds
 * the difference, generation_run() does the rest: n choices, buffered or streamed, pings while it
 * is silent, clients who leave, usage, errors before and after the headers. Runs on the worker's
 * thread. */
#ifndef AIRSTRIP_GENERATION_H
#define AIRSTRIP_GENERATION_H

#include "fcgi/api/params.h"
#include "fcgi/app.h"
#include "fcgi/parts/split.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"

struct choice {
    struct buf text;     /* what was generated */
    struct buf lists[4]; /* dialect's own: log-probabilities of a buffered answer */
    size_t text_chars;   /* dialect's own: characters of text so far */
    const char *echo;    /* what goes before it, in an event of its own; NULL: no such event */
    bool over;
    enum finish finish;
    const char *finish_name; /* what the answer says: "tool_calls" where it called some */
    struct usage usage;
    struct split split; /* where the generation has a form */
    size_t n_calls;     /* begun, of those that are told */
    size_t reasoning_tokens;
    bool enough;        /* its only call is complete, ... */
    size_t n_tokens;    /* ... with so many tokens */
    size_t n_logprobs;  /* with a form: told or kept so far */
    double sum_logprob; /* where the best are to be found: of its tokens, ... */
    size_t n_weighed;   /* ... which are so many */
    double last_ms;     /* tally's own */
};

/* What an answer's text is made of, where it is more than content. */
struct answer_form {
    struct split_options split;
    bool one_call; /* the answer ends with its first call */
    bool legacy;   /* that is a function_call */
    bool short_id; /* see struct format */
};

struct generation {
    char id[48];
    char fingerprint[32];
    long long created;
    const char *model; /* served name */
    const struct params *params;
    const struct answer_form *form; /* NULL: the text is content as it stands */
    int top_logprobs;               /* -1: none */
    struct choice *choices;
    size_t n_choices;
    size_t n_prompts;    /* choice i answers prompt i / (n_choices / n_prompts) */
    size_t spare_tokens; /* of answers that are not told */
    void *own;           /* the dialect's, from struct generation_ask */
};

/* What is streamed is written as whole frames (sse_frame()); a function that has nothing to tell
 * appends nothing. */
struct dialect {
    const char *id_prefix; /* "chatcmpl-" */

    /* A prompt's log-probabilities, where they are wanted; b: frames of a stream, which then has no
     * first event; NULL: to be kept for whole(). */
    void (*prompt)(struct buf *b, struct generation *g, size_t index, const struct event *ev);

    /* Streamed: the first event (of choices that have an echo), an event with text, a choice's last
     * event, what follows after all choices.  fail: what ends a stream with an error; NULL: an
     * error event as sse_error() has it. */
    void (*first)(struct buf *b, struct generation *g, size_t index);
    void (*delta)(struct buf *b, struct generation *g, size_t index, const struct event *ev);
    void (*last)(struct buf *b, struct generation *g, size_t index);
    void (*end)(struct buf *b, struct generation *g);
    void (*fail)(struct buf *b, struct generation *g, const struct err *e);

    /* Buffered: keeps an event's log-probabilities; the answer's body. */
    void (*keep)(struct generation *g, size_t index, const struct event *ev);
    void (*whole)(struct buf *b, struct generation *g);

    /* With a form: one part of the text, streamed (ev: the event that it is the first of, for
     * its log-probabilities; or NULL), or kept for whole(). */
    void (*part)(struct buf *b, struct generation *g, size_t index, const struct part *part,
                 const struct event *ev);
    void (*keep_part)(struct generation *g, size_t index, const struct part *part);
};

/* What is to be generated, and in what shape it is told.  All borrowed. */
struct generation_ask {
    const struct dialect *dialect;
    void *own; /* for the dialect, as generation.own; or NULL */
    const struct params *params;
    const struct app_model *model;
    const struct answer_form *form; /* or NULL */
    struct job_request *jobs;       /* [n_prompts]; sampling, stops, logprobs are filled in here */
    const char *const *echoes;      /* [n_prompts], what goes before each answer; or NULL */
    size_t n_prompts;
    size_t best_of;       /* so many answers a prompt, of which the params->n best are told; 0: n */
    int top_logprobs;     /* -1: none */
    bool prompt_logprobs; /* as in struct job_request */
};

/* Submits each job params->n times, with seeds seed, seed + 1, ..., and answers through p. */
void generation_run(struct app *app, struct request *r, struct reply *p,
                    const struct generation_ask *ask);

/* generation_best.c: takes an event's log-probabilities into account; leaves the n best choices of
 * each prompt, best first, the others behind g->n_choices. */
void generation_weigh(struct generation *g, const struct event *ev);
void generation_keep_best(struct generation *g, size_t n);

/* The JSON object of the request's body, and the model it asks for; NULL with *e set where either
 * is wrong.  rules: what that model's configuration says. */
const struct app_model *generation_target(struct app *app, struct request *r, struct value **body,
                                          struct params_rules *rules, struct err *e);

/* What the configuration says about requests to a model; borrows from the arena. */
int generation_rules(const struct app *app, const struct app_model *model, struct arena *a,
                     struct params_rules *rules, struct err *e) MUST_CHECK;

const char *finish_name(enum finish f); /* "stop" or "length" */

#endif
