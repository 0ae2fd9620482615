/* engine.h - one loaded model that answers: submit a job, wait for its events.
 *
 * A job's answer is text, or (embed) the vector that stands for its prompt.
 *
 * The engine knows nothing of HTTP.  A job is checked, rendered and tokenised on the caller's
 * thread by engine_submit(); from then on the engine's own thread owns it, and tells what happens
 * through the caller's inbox.  Several jobs may share an inbox (one request with n choices): events
 * carry the tag.
 *
 * Threads: engine_open/_close by one thread; everything else by any.  An inbox is waited on by one
 * thread. */
#ifndef AIRSTRIP_ENGINE_H
#define AIRSTRIP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inference/constrain/spec.h"
#include "kernels/base/buf.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

struct engine;
struct inbox;
struct job;
struct ranks; /* kernels/ranks.h */

enum prefix_cache {
    PREFIX_CACHE_ON,      /* those of prompts and answers */
    PREFIX_CACHE_PROMPTS, /* only those evaluated as given tokens: whatever was asked before, a text
                           * is the same to the last bit, also where generated tokens are evaluated
                           * with another arithmetic (see struct matmul) */
    PREFIX_CACHE_OFF,
};

/* How tokens are guessed, to be verified several at a time.  Answers are the same with any. */
enum speculation {
    SPECULATION_NGRAM, /* looked up where the last few tokens stood before */
    SPECULATION_OFF,
    SPECULATION_ALWAYS, /* as ngram, whether it pays or not: what is guessed then does not depend on
                         * how fast passes were, which is for tests */
};

struct engine_config {
    const char *name;          /* consumer group, for the log */
    const char *model_path;    /* a GGUF file */
    const char *device;        /* "auto", "cpu", "cuda" */
    const char *isa;           /* NULL: the fastest */
    const char *chat_template; /* Jinja text that replaces the model's own; NULL: the model's */
    const char *chat_template_name; /* file it came from, for error messages; NULL if none */
    size_t n_ctx;                   /* longest sequence; 0 = what the model was trained for */
    size_t max_batch;               /* sequences that run together; 0 = 16 */
    size_t max_queue;               /* jobs that may wait; 0 = 1024 */
    size_t n_threads;               /* 0 = one per processor */
    size_t kv_bytes;      /* memory for keys and values; 0 = as much as max_batch sequences
                           * of n_ctx need, at most half of the machine's memory */
    const char *kv_type;  /* "f32", "f16", "bf16", "q8_0"; NULL: f16, or f32 where all of
                           * the model's matrices are float */
    size_t max_step_rows; /* prompt tokens evaluated per step; 0 = 512 */
    enum prefix_cache prefix_cache; /* whose keys and values later prompts may begin with */
    enum speculation speculation;
    const char *pooling; /* how vectors are made of tokens: "mean", "cls", "last"; NULL: as the
                          * model says */
    /* Tensor parallelism: several ranks compute the model, each with a part of it on a device of
     * its own.  n_ranks of 2 and more: they are threads of this process, and share n_threads.  Or
     * `ranks`: this engine is rank 0 of them, the others run ranks_follow() with the same model;
     * borrowed until engine_close(). */
    size_t n_ranks;
    struct ranks *ranks;
};

enum engine_state { ENGINE_LOADING, ENGINE_READY, ENGINE_FAILED, ENGINE_CLOSING };

struct engine_status {
    enum engine_state state;
    struct err failure;       /* ENGINE_FAILED: why */
    bool was_ready;           /* ENGINE_FAILED: it had been loaded and served */
    int load_percent;         /* while loading */
    double load_ms;           /* from open to ready */
    size_t running, waiting;  /* jobs now */
    uint64_t done, cancelled; /* since start, as the next six */
    uint64_t preempted;       /* times that a job had to give its pages up and wait again */
    uint64_t prompt_tokens;   /* evaluated */
    uint64_t cached_tokens;   /* of prompts, whose keys and values were still there */
    uint64_t generated_tokens;
    uint64_t drafted_tokens;  /* guessed and verified */
    uint64_t accepted_tokens; /* of those, that were right and so are generated tokens */
    double last_step_ms_ago;  /* since the last step ended or idleness did, whichever came later:
                               * with  running > 0 a large value means a stalled engine */
    size_t n_ctx, n_vocab, max_batch;
    bool writes;         /* false: an encoder or the like, which answers with vectors only */
    const char *pooling; /* of its vectors; static.  NULL: it has none */
    size_t n_embd;       /* how long they are */
    size_t kv_pages, kv_pages_used;       /* used: by running sequences */
    size_t kv_pages_cached;               /* free, but holding what a later prompt may begin with */
    size_t prefix_pages;                  /* holding that, free or in use */
    uint64_t prefix_lookups, prefix_hits; /* prompts; those that found something */
    uint64_t prefix_evicted;              /* pages whose contents made room for others */
    const char *device;                   /* static: "cpu", "cuda" */
    const char *isa;                      /* static; NULL while loading */
    size_t n_threads;
    char architecture[32], model_name[128], quantisation[32]; /* "" while loading */
    uint64_t n_params;
    uint64_t weight_bytes; /* read per token */
    bool has_chat_template;
    bool speculates;
    int32_t bos, eos; /* ids; -1: the vocabulary has none */
};

/* Reads the file's header, checks that the family, tensors, tokenizer and template are supported,
 * starts the engine's thread, and returns while that thread still loads the weights.  The config's
 * strings are copied.  Errors as weights_open(), and ERR_UNSUPPORTED / ERR_FORMAT with what is
 * missing. */
int engine_open(struct engine **out, const struct engine_config *c, struct err *e) MUST_CHECK;

/* The same checks and nothing else: for --check. */
int engine_check(const struct engine_config *c, struct err *e) MUST_CHECK;

void engine_status(const struct engine *g, struct engine_status *out);

/* From now on engine_submit() answers ERR_CLOSING; what runs and waits is finished. */
void engine_drain(struct engine *g);

/* Jobs that still exist get EVENT_FAILED(ERR_CLOSING); then the thread ends and the memory is
 * freed. All jobs and inboxes must have been freed, or never be touched again, by the time it
 * returns. NULL is fine. */
void engine_close(struct engine *g);

enum { DRY_BREAKER_MAX_BYTES = 64, DRY_MAX_BREAKERS = 64 };

/* How the next token is chosen (inference/sampler.h has the order).  Begin with sampling_default().
 */
struct sampling {
    float temperature;                    /* 0 = the most likely token; up to 2 */
    float top_p;                          /* 0 .. 1; 1 = off; 0 keeps the most likely token only */
    float min_p;                          /* 0 = off */
    float typical_p;                      /* 0 .. 1; 1 = off */
    float top_n_sigma;                    /* 0 = off; up to 1000 */
    size_t top_k;                         /* 0 = off */
    float xtc_probability, xtc_threshold; /* 0 .. 1 each; a probability of 0 or a threshold above
                                           * 0.5 = off */
    unsigned mirostat;                    /* 0 = off; 1, 2: version, in place of the six above */
    float mirostat_tau, mirostat_eta;     /* 0 .. 100 bits, 0 .. 1 */

    float frequency_penalty;        /* -2 .. 2, on tokens generated so far */
    float presence_penalty;         /* -2 .. 2 */
    float repetition_penalty;       /* 0.01 .. 100; 1 = off; prompt and generated tokens */
    size_t repetition_last_n;       /* of these, only so many last ones; SIZE_MAX = all */
    size_t frequency_last_n;        /* the same for the other two */
    float dry_multiplier, dry_base; /* 0 = off, up to 100; 1 .. 100; see inference/dry.h */
    size_t dry_allowed_length, dry_last_n;
    size_t no_repeat_ngram; /* 0 = off; no run of so many tokens, the prompt's too, comes twice,
                             * unless nothing else may come */
    const char *const *dry_breakers; /* each 1 .. DRY_BREAKER_MAX_BYTES bytes */
    size_t n_dry_breakers;           /* up to DRY_MAX_BREAKERS */

    bool has_seed;
    uint64_t seed;            /* without one a random seed is drawn */
    const struct token_bias { /* added to the logits */
        int32_t id;
        float bias;
    } * bias;
    size_t n_bias;
};

/* Temperature 1, everything else off; what is not off has the values that llama-server has. */
void sampling_default(struct sampling *s);

/* What the model's makers suggest: generation_config.json, or keys general.sampling.*; the default
 * where they say nothing. */
void engine_sampling(const struct engine *g, struct sampling *out);

/* What runs in one of the places for sequences. */
struct engine_slot {
    bool running;    /* false: nothing, and all else is 0 */
    uint64_t number; /* of its submission: 0, 1, ... since the engine was opened */
    size_t prompt_tokens, cached_tokens, evaluated_tokens; /* of the prompt; evaluated: so far */
    size_t generated_tokens, max_tokens, min_tokens;       /* generated: so far */
    int top_logprobs; /* -1: none wanted, as all that follows what the request asked for */
    bool ignore_end, speculates;
    struct sampling sampling; /* without what it points to */
};

/* The first n places of max_batch, as the last step left them; a job stays in its place for as long
 * as it runs. */
void engine_slots(const struct engine *g, struct engine_slot *out, size_t n);

enum prompt_kind {
    PROMPT_CHAT, /* context rendered by the chat template */
    PROMPT_TEXT, /* raw text; BOS is added where the model wants it; no control tokens in it */
    PROMPT_IDS,  /* token ids, taken as they are */
};

enum { STOP_MAX_BYTES = 1024 };

/* Bytes that UTF-8 has no use for, in an event's text (struct job_request, show_control). */
enum {
    TEXT_LOGPROB = 0xfc,      /* one more of the event's logprobs became known */
    TEXT_TOKEN = 0xfd,        /* what a token had to show has been shown */
    TEXT_CONTROL_END = 0xfe,  /* behind the name of a control token */
    TEXT_CONTROL_BEGIN = 0xff /* before it */
};

struct job_request {
    const char *id;    /* for the log; may be NULL */
    const char *owner; /* who shares the engine fairly with others of the same priority; or NULL */
    enum prompt_kind kind;
    const struct value *context; /* PROMPT_CHAT: map with messages, add_generation_prompt, ... */
    const char *text;            /* PROMPT_TEXT */
    size_t text_len;
    const int32_t *ids; /* PROMPT_IDS */
    size_t n_ids;
    size_t prompt_most; /* of a longer prompt only its first so many ids count; 0: all */
    bool embed;         /* a vector is wanted: of the rest only priority counts */
    struct sampling sampling;
    size_t
        max_tokens; /* at most so many; SIZE_MAX = until the context is full.  0 = evaluate only */
    const char *const *stops; /* NUL-terminated, none empty, each at most STOP_MAX_BYTES */
    size_t n_stops;
    int top_logprobs;     /* -1: no logprobs; 0 .. 20: with that many alternatives */
    bool prompt_logprobs; /* of the prompt's tokens, too, with as many alternatives */
    bool ignore_end;      /* end-of-generation tokens do not end it */
    size_t min_tokens; /* before so many no token that ends it is chosen, and no stop string looked
                        * for; a grammar may end it all the same */
    const int32_t *stop_ids; /* these end it, too, and are not shown */
    size_t n_stop_ids;
    int priority; /* lower comes earlier, 0 as usual; among equals owners take turns, and of one
                   * owner's jobs the first to come is the first served */
    const char
        *prediction; /* what the answer may largely be: makes it faster where it is; or NULL */
    size_t prediction_len;
    struct spec spec;  /* what the text must be; zeroed: anything */
    bool show_control; /* control tokens and the ends of all stand in the events' text (TEXT_...) */
    bool no_speculation; /* a token at a time, for measurements and tests */
};

enum finish { FINISH_STOP, FINISH_LENGTH };

/* generated_tokens counts every token drawn, the one that ended it included.  cached_tokens: of the
 * prompt, not evaluated because an earlier job had.  predicted_tokens: of the prediction, that came
 * as it says; mispredicted_tokens: the rest of it; both 0 where the engine does not speculate.
 * prompt_ms: until the first. */
struct usage {
    size_t prompt_tokens, generated_tokens, cached_tokens;
    size_t predicted_tokens, mispredicted_tokens;
    double queue_ms, prompt_ms, generate_ms;
};

struct token_logprob {
    int32_t id;
    float logprob;     /* natural logarithm, of the model's own distribution (temperature 1) */
    const char *bytes; /* what the token stands for; lives as long as the engine */
    size_t n_bytes;
};

enum event_kind {
    EVENT_STARTED, /* left the queue: prompt evaluation begins */
    EVENT_PROMPT,  /* where prompt_logprobs are wanted, before the first text: logprobs of all its
                    * tokens, the first of which has NAN */
    EVENT_TEXT, /* text: valid UTF-8 (but for show_control), possibly empty when only logprobs came
                 */
    EVENT_DONE, /* the last one: finish and usage are set, and the vector where one was wanted */
    EVENT_FAILED, /* the last one: err is set */
};

struct event {
    enum event_kind kind;
    size_t tag;
    char *text; /* EVENT_TEXT: NUL-terminated */
    size_t text_len;
    size_t n_tokens; /* drawn since the last EVENT_TEXT, for usage while streaming */
    double at_ms;    /* clock_ms() when the engine said it; of joined texts, the last */
    struct token_logprob
        *logprobs;     /* [n_logprobs * (1 + top_logprobs)]: the token taken, then the best */
    size_t n_logprobs; /* ordered; id -1 fills where there are fewer */
    enum finish finish;
    float *vector; /* [n_vector] as its tokens' hidden states make it, not of length 1.  Whoever
                    * keeps it sets this to NULL, and frees it with free() */
    size_t n_vector;
    struct usage usage;
    struct err err;
};

int inbox_create(struct inbox **out, struct err *e) MUST_CHECK;
void inbox_free(struct inbox *in); /* after its jobs were freed; NULL is fine */

/* Waits up to timeout_ms (-1: for ever) for the next event.  True: *ev is filled, to be given
 * to event_done().  False: time ran out, or inbox_wake() was called. */
bool inbox_wait(struct inbox *in, int timeout_ms, struct event *ev);
void inbox_wake(struct inbox *in); /* any thread: inbox_wait() returns at once, so that its caller
                                      can look around */
void event_done(struct event *ev);

/* Checks, renders, tokenises and queues.  Everything in *r is copied or used up before it returns.
 * Errors (nothing was queued): ERR_LOADING, ERR_CLOSING, ERR_BUSY (queue full), ERR_CONTEXT (with
 * both numbers), ERR_INVALID (template's own complaint, bad id or number, with its param),
 * ERR_UNSUPPORTED (no chat template, no text from a model without a head, no vectors from this
 * model), or what the loading failed of. */
int engine_submit(struct engine *g, const struct job_request *r, struct inbox *in, size_t tag,
                  struct job **out, struct err *e) MUST_CHECK;

/* The client left: the job's slot is free after the step that runs now, queued jobs at once.
 * No further events than those already sent.  Harmless on one that has ended. */
void job_cancel(struct job *j);

/* Enough: it ends with FINISH_STOP after the token that comes next, as if a stop string had come.
 */
void job_stop(struct job *j);

/* The caller is done with it (cancels it first where it still runs). */
void job_free(struct job *j); /* NULL is fine */

size_t job_prompt_tokens(const struct job *j);

/* The last bytes of the prompt, control tokens as their text; NUL-terminated. */
void job_prompt_end(const struct job *j, char *out, size_t size);

/* The chat template's text, NULL if there is none; lives as long as the engine. */
const char *engine_chat_template(const struct engine *g);

/* The text that a chat's context becomes.  Errors as engine_submit()'s. */
int engine_render(struct engine *g, const struct value *context, struct buf *out,
                  struct err *e) MUST_CHECK;

/* What engine_submit() would make of a request's prompt, with all its errors about that: for
 * requests of several prompts, none of which is to run if another is wrong.  Freed with free(). */
int engine_prompt_ids(struct engine *g, const struct job_request *r, int32_t **ids, size_t *n,
                      struct err *e) MUST_CHECK;

/* The ids of a chat's prompt, as engine_submit() has them; freed with free(). */
int engine_chat_ids(struct engine *g, const struct value *context, int32_t **ids, size_t *n,
                    struct err *e) MUST_CHECK;

/* Text to ids and back, for requests and tools; ids are freed with free(). ERR_LOADING while
 * loading. */
int engine_tokenize(struct engine *g, const char *text, size_t len, bool add_special,
                    bool parse_special, int32_t **ids, size_t *n, struct err *e) MUST_CHECK;

/* The text that tokens stand for, control tokens as their text: appended to *out; the bytes of half
 * a character as they are.  ERR_INVALID for an id outside the vocabulary. */
int engine_detokenize(struct engine *g, const int32_t *ids, size_t n, struct buf *out,
                      struct err *e) MUST_CHECK;

/* The token as the vocabulary spells it, which need not be the text that it stands for; borrowed,
 * lives as long as the engine.  "" for an id outside. */
const char *engine_token_text(const struct engine *g, int32_t id, size_t *len);

/* The id of the token that is spelled so, or -1. */
int32_t engine_token_find(const struct engine *g, const char *text, size_t len);

/* What engine_detokenize() makes of them without control tokens, and without the blank that some
 * tokenizers put before the first word. */
int engine_plain_text(struct engine *g, const int32_t *ids, size_t n, struct buf *out,
                      struct err *e) MUST_CHECK;

/* What the model's file is, so that hosts can say whether they have the same one. */
struct engine_print {
    uint64_t bytes, hash;
};
int engine_print(const struct engine_config *c, struct engine_print *out, struct err *e) MUST_CHECK;

/* What the engine needs has failed, which it may not see for itself as long as it has no jobs. */
void engine_fail(struct engine *g, const struct err *why);

/* In place of an engine, of a rank that is not rank 0 (c->ranks): loads its part of the model and
 * computes with rank 0's engine until that is closed: 0.  Errors as engine_open(), and which rank
 * failed. */
int engine_follow(const struct engine_config *c, struct err *e) MUST_CHECK;

/* From here on no engine opens a device other than the CPU, for the reason given (static). */
void engine_confine(const char *why);

#endif
