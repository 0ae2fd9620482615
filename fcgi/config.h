/* config.h - what the operator asked for: configuration file, then environment, then command line.
 *
 * All three set the same keys (config_keys.c has their table): `max_batch_size = 8` in the file,
 * AIRSTRIP_MAX_BATCH_SIZE=8 in the environment and --max-batch-size 8 on the command line are one
 * and the same, and the later wins.  Built by one thread at start, read by all afterwards. */
#ifndef AIRSTRIP_FCGI_CONFIG_H
#define AIRSTRIP_FCGI_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/allow.h"
#include "inference/engine.h"
#include "kernels/base/arena.h"
#include "kernels/base/buf.h"
#include "kernels/base/err.h"
#include "kernels/base/log.h"

enum {
    CONFIG_MAX_MODELS = 32,
    CONFIG_MAX_ALIASES = 32,
    CONFIG_MAX_KEYS = 64,        /* of models, and as many of the server */
    CONFIG_MAX_NAME_BYTES = 128, /* of a model */
};

/* One model.  NULL and 0 mean: not set. */
struct model_config {
    const char *name;          /* of its section; what Takeoff calls a reader's id */
    const char *group;         /* the id that clients put into `model`, which several models may
                                * share; config_finish() fills in the name */
    const char *model;         /* as given: a path, or a name looked up in models_dir */
    const char *path;          /* the file found for it; set by config_finish() */
    const char *device;        /* "auto", "cpu", "cuda" */
    const char *speculation;   /* "ngram", "off"; NULL: the default, ngram */
    const char *isa;           /* "amx", ...; NULL: the fastest */
    const char *chat_template; /* Jinja text; read from chat_template_file by config_finish() */
    const char *chat_template_file; /* where it came from */
    const char *aliases;            /* further ids, separated by commas */
    size_t max_sequence_length;
    size_t max_batch_size;
    size_t max_queued_requests;
    size_t threads;
    size_t ranks;              /* that compute it together; 0 and 1: it is not cut */
    size_t kv_cache_size;      /* bytes */
    const char *kv_cache_type; /* "f16", ...; NULL: the model's */
    size_t prefill_chunk_size;
    size_t prefix_cache;     /* enum prefix_cache */
    const char *tool_format; /* a name of formats; NULL: by the chat template */
    const char *pooling;     /* "mean", "cls", "last"; NULL: as the model says */
    size_t split_reasoning;  /* 1: reasoning_content, 0: left in the content */
    size_t client_priority;  /* 1: requests say how early they come */
    /* Of requests that name none; below 0, and SIZE_MAX: as the model suggests. */
    float default_temperature, default_top_p, default_min_p;
    size_t default_top_k;
    const char *default_sampling; /* JSON, see fcgi/api/sampling_fields.h */
    size_t default_max_tokens;    /* 0: until the context is full */
    uint64_t set;                 /* bit k: key k was set for this model itself, not inherited */
};

struct takeoff; /* fcgi/takeoff/readers.h */

struct config {
    const char *listen; /* "/path", "host:port", "[::1]:port"; NULL: the socket we were handed */
    const char *status_listen;        /* the same for the status socket; NULL: there is none */
    const struct allow *listen_allow; /* who may connect to a TCP socket; NULL: there is no list */
    const struct allow *status_allow; /* the same for the status socket; NULL: as listen_allow */
    const char *log;                  /* file; NULL: stderr */
    enum log_level log_level;
    const char *access_log;      /* file; NULL: none */
    const char *access_format;   /* see access_log.h */
    size_t log_prompts;          /* 1: requests' bodies go into the log */
    size_t slow_ms;              /* longer requests are told in the log; 0: none are */
    const char *api_keys;        /* file; NULL: no keys, every client may ask */
    const char *cors_origin;     /* as cors_begin() takes it */
    const char *models_dir;      /* searched before the default folders; NULL: only those */
    size_t body_size_limit;      /* bytes */
    size_t request_memory_limit; /* bytes of a request's arena */
    size_t upload_memory_limit;  /* bytes of requests that are still coming in, all together */
    size_t max_connections;      /* requests served at once; more are answered 503 */
    /* Of one address; 0: no limit. */
    size_t address_concurrency, address_requests, address_tokens;
    size_t max_choices;     /* most that `n` of a request may ask for */
    size_t drain_notice_ms; /* from the signal to the drain, while readiness says 503 already */
    size_t drain_timeout_ms, ping_ms, read_timeout_ms, write_timeout_ms;
    size_t request_timeout_ms;  /* longest a request may generate; 0 = no limit */
    size_t stall_ms;            /* an engine that makes no step for so long hangs; 0: never */
    size_t stall_exit;          /* 1: then the program ends, to be started anew */
    size_t listen_mode;         /* of a Unix socket that we make: 0660 */
    size_t take_over;           /* 1: the process that serves status_listen gives its sockets */
    size_t seccomp;             /* enum sandbox */
    size_t launcher;            /* enum launcher */
    size_t ranks_timeout_ms;    /* a process of several that says nothing for so long has failed */
    size_t ranks_precision;     /* enum ranks_precision */
    size_t takeoff;             /* 1: Takeoff's own doors are served, see fcgi/takeoff/door.h */
    size_t max_user_batch_size; /* texts that one request may bring through them */
    size_t max_prompt_string_bytes; /* and bytes of each */

    const char *takeoff_manifest; /* Takeoff's config.yaml, NULL: none */
    struct takeoff *manifest;     /* what it says; in storage */

    struct model_config defaults; /* keys set outside any [model] section */
    struct model_config models[CONFIG_MAX_MODELS];
    size_t n_models;

    const char *group;    /* consumer group that environment or command line speak of; NULL: none */
    uint64_t set;         /* bit k: key k was set */
    const char *file;     /* configuration file read; NULL if none */
    bool check;           /* --check: say whether all is well, and end */
    const char *key_name; /* of --make-key or --hash-key */
    struct arena storage; /* of all strings */
    struct config *origin; /* what the server's keys borrow from, see config_copy(); NULL: none */
    atomic_uint refs;      /* those who hold it: its owner, and its copies */
};

/* Defaults; nothing can fail.  Pair with config_done(). */
void config_init(struct config *c);
void config_done(struct config *c);

/* One on the heap, to be given to config_free(); NULL without memory. */
struct config *config_create(void);
void config_free(struct config *c); /* NULL is fine */

/* The text of a configuration file.  name is for messages, which read "NAME:LINE: ...".
 * Errors: ERR_FORMAT, ERR_INVALID with what was expected and found; ERR_NOMEM. */
int config_parse(struct config *c, const char *name, const char *text, size_t len,
                 struct err *e) MUST_CHECK;

/* A whole file of at most 4 MiB; b is for buf_done() in any case.  ERR_NOTFOUND, ERR_IO, ERR_LIMIT.
 */
int config_slurp(struct buf *b, const char *path, struct err *e) MUST_CHECK;

/* Reads and parses a file.  ERR_NOTFOUND when there is none, ERR_IO. */
int config_read(struct config *c, const char *path, struct err *e) MUST_CHECK;

/* AIRSTRIP_* and TAKEOFF_* out of "NAME=value" strings ending with NULL; empty values count as
 * unset. Errors: ERR_INVALID that names the variable; ERR_NOMEM. */
int config_environment(struct config *c, char *const *environment, struct err *e) MUST_CHECK;

/* One line in the log for each variable of those families that has no effect here although it asks
 * for something other than Takeoff's default, or whose name is a slip.  Call it once the log is
 * open. */
void config_warn(char *const *environment);

enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION, CONFIG_MAKE_KEY, CONFIG_HASH_KEY };

/* The command line: --key value or --key=value for every key, and --config FILE, --check, --help,
 * --version, --make-key NAME, --hash-key NAME.  Call it twice: once with file_only to learn the
 * file (c->file) before anything else is read, and last of all to apply the rest. */
int config_options(struct config *c, int argc, char *const *argv, bool file_only,
                   enum config_action *action, struct err *e) MUST_CHECK;

/* Fills every model's unset keys from the defaults, finds the model files, reads templates, and
 * checks what one key cannot tell alone (no model at all, alias given twice, ...). */
int config_finish(struct config *c, struct err *e) MUST_CHECK;

/* The same for the last model alone, where the others have been through it. */
int config_finish_last(struct config *c, struct err *e) MUST_CHECK;

/* Another one that says the same.  Its models are its own; all else it borrows from the first of
 * its line, which lives as long.  *c itself may go: by config_free(), or after the copy. ERR_NOMEM.
 */
int config_copy(struct config **out, struct config *c, struct err *e) MUST_CHECK;

/* Whether name is one of the model's aliases. */
bool config_has_alias(const struct model_config *m, const char *name);

/* What engine_open() wants to know about a model; borrows from *m. */
void config_engine(const struct model_config *m, struct engine_config *out);

#endif
