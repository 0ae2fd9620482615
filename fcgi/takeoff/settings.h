/* settings.h - what Takeoff can be told, one row a setting, and what becomes of it here.
 *
 * A field of its manifest is a variable of its environment: max_batch_size, TAKEOFF_MAX_BATCH_SIZE.
 * Where config_keys has an equal, the key's `takeoff` names it; every other row says what the
 * setting does not do here.  Constant; any thread. */
#ifndef AIRSTRIP_TAKEOFF_SETTINGS_H
#define AIRSTRIP_TAKEOFF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/config_keys.h"
#include "kernels/base/err.h"

enum takeoff_type {
    TAKEOFF_TEXT,  /* any scalar: Takeoff takes 0 for "0" where it wants a text */
    TAKEOFF_COUNT, /* whole number of 64 bits */
    TAKEOFF_SHORT, /* of 32 */
    TAKEOFF_PORT,  /* of 16 */
    TAKEOFF_BOOL,
    TAKEOFF_REAL,
};

/* Where it may stand. */
enum takeoff_scope {
    TAKEOFF_SERVER = 1,   /* server_config, environment */
    TAKEOFF_READER = 2,   /* a reader of readers_config, environment */
    TAKEOFF_LAUNCHER = 4, /* environment only, and never told about: no setting of a server */
};

struct takeoff_setting {
    const char *name; /* as in the manifest */
    enum takeoff_type type;
    unsigned scope;       /* of enum takeoff_scope */
    const char *harmless; /* the value that asks for nothing special; NULL: none does */
    const char *note;     /* what it does not do here, after "NAME "; NULL: a key has it */
};

enum { TAKEOFF_MAX_SETTINGS = 80 };

extern const struct takeoff_setting takeoff_settings[]; /* ends with a NULL name */

/* The number of the setting called name; -1 if there is none. */
int takeoff_setting(const char *name);

/* The same for a variable's name without its TAKEOFF_, in capitals. */
int takeoff_variable(const char *name);

/* Our key of the same meaning; NULL if there is none. */
const struct config_key *takeoff_key(const struct takeoff_setting *s);

/* Whether value asks for nothing that is missing here. */
bool takeoff_harmless(const struct takeoff_setting *s, const char *value);

/* kv_cache_type for quantize_cache_bits; NULL where there is none of so many. */
const char *takeoff_cache_type(const char *bits);

/* What a value was written as: YAML and JSON tell 8 from "8", and so does Takeoff. */
enum takeoff_kind { KIND_NULL, KIND_BOOL, KIND_INT, KIND_REAL, KIND_TEXT, KIND_LIST, KIND_MAP };

/* Whether a value of that kind and text will do; KIND_NULL means unset and always will.
 * text: true, false, decimal digits with or without '-'.
 * Errors: ERR_INVALID "expected ..., found ...". */
int takeoff_check_type(const struct takeoff_setting *s, enum takeoff_kind kind, const char *text,
                       struct err *e) MUST_CHECK;

#endif
