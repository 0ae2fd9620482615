/* config_keys.h - the table of configuration keys: name, kind of value, limits, where it goes.
 *
 * The one place that knows them: the file, the environment, the command line, --help and the
 * nearest-name suggestion all read it.  Used by config*.c only; one thread. */
#ifndef AIRSTRIP_CONFIG_KEYS_H
#define AIRSTRIP_CONFIG_KEYS_H

#include "fcgi/config.h"

enum key_kind {
    KEY_TEXT,        /* any text that is not empty */
    KEY_COUNT,       /* whole number, min .. max */
    KEY_BYTES,       /* 4096, 10MB, 5GiB, 90% of the machine's memory */
    KEY_REAL,        /* decimal number, min .. max; kept as float */
    KEY_DURATION,    /* 500ms, 30s, 2m, 1h; a bare number is seconds; kept as milliseconds */
    KEY_OCTAL,       /* file mode */
    KEY_LEVEL,       /* debug info warn error */
    KEY_DEVICE,      /* auto cpu cuda */
    KEY_SPECULATION, /* ngram off */
    KEY_SWITCH,      /* off on; kept as a number, 0 or 1 */
    KEY_CACHE,       /* on prompts off; kept as a number, enum prefix_cache */
    KEY_SANDBOX,     /* on log off; kept as a number, enum sandbox */
    KEY_LAUNCHER,    /* auto on off; kept as a number, enum launcher */
    KEY_PRECISION,   /* f32 bf16 q8; kept as a number, enum ranks_precision */
    KEY_ALLOW,       /* addresses and networks; kept as const struct allow * */
};

struct config_key {
    const char *name;
    enum key_kind kind;
    bool of_model; /* may stand in a [model] section; offset is into struct model_config */
    size_t offset;
    size_t min, max; /* of numbers, in bytes or milliseconds for those kinds */
    const char
        *takeoff;     /* Takeoff's variable of the same meaning, without TAKEOFF_; NULL if none */
    const char *help; /* for --help: "FILE  what it is" */
};

extern const struct config_key config_keys[]; /* ends with a NULL name */

/* The key called name (also by a second name, such as `path` for `model`); NULL if there is none.
 */
const struct config_key *config_key(const char *name);

/* Whether its field is a const char *; else a size_t, or for KEY_REAL a float. */
bool config_key_is_text(const struct config_key *k);

/* The key's bit in the `set` of a configuration, or of a model: no other key's there. */
uint64_t config_bit(const struct config_key *k);

/* The known name nearest to a mistyped one, for "did you mean"; NULL if none is near. */
const char *config_nearest(const char *name);

/* Parses value and stores it: into *m for a key of models (m may not be NULL then), else into *c.
 * Errors: ERR_INVALID "KEY: expected ..., found ..."; ERR_NOMEM. */
int config_set(struct config *c, struct model_config *m, const struct config_key *k,
               const char *value, struct err *e) MUST_CHECK;

/* config_numbers.c: config_set() of the kinds that are numbers; field is a size_t, or of KEY_REAL a
 * float. */
int config_set_number(const struct config_key *k, void *field, const char *value,
                      struct err *e) MUST_CHECK;
int config_set_real(const struct config_key *k, void *field, const char *value,
                    struct err *e) MUST_CHECK;

/* The same for a source that knows no sections: name is the consumer group it speaks of, NULL if it
 * named none. Without one, `model` means "primary" and every other key of models means all of them.
 */
int config_set_for(struct config *c, const char *name, const struct config_key *k,
                   const char *value, struct err *e) MUST_CHECK;

/* The model of that name, made if need be.  Errors: ERR_INVALID for a bad name or too many. */
int config_model(struct config *c, const char *name, struct model_config **out,
                 struct err *e) MUST_CHECK;

/* Finds the file that `model` means (models_dir.c): a path, or a name in one of the folders.
 * Errors: ERR_NOTFOUND with the places looked at; ERR_INVALID where several fit; ERR_NOMEM. */
int models_dir_find(struct config *c, const char *model, const char **path,
                    struct err *e) MUST_CHECK;

#endif
