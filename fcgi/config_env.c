/* The environment: AIRSTRIP_KEY for every key of the table, and the variables that a user of
 * Takeoff has in place already. */
#include "fcgi/config.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "fcgi/config_keys.h"
#include "fcgi/takeoff/readers.h"

enum { NAME_MAX_BYTES = 64 };

/* The value of `name` where entry is "name=value"; NULL where it is another variable. */
static const char *value_of(const char *entry, const char *name)
{
    size_t len = strlen(name);

    return !strncmp(entry, name, len) && entry[len] == '=' ? entry + len + 1 : NULL;
}

static const char *lookup(char *const *environment, const char *name)
{
    for (; *environment; environment++) {
        const char *value = value_of(*environment, name);

        if (value && *value) /* an empty one counts as unset, as container files leave them */
            return value;
    }
    return NULL;
}

/* The part of "PREFIXname=value" between prefix and '=' into name; false if it is something else.
 */
static bool take_name(const char *entry, const char *prefix, char name[NAME_MAX_BYTES])
{
    size_t skip = strlen(prefix), len = strcspn(entry, "=");

    if (strncmp(entry, prefix, skip) || len <= skip || len - skip >= NAME_MAX_BYTES)
        return false;
    memcpy(name, entry + skip, len - skip);
    name[len - skip] = '\0';
    return entry[len] && entry[len + 1];
}

/* Never the value, which may be a secret. */
static void warn_of_takeoff(const char *name, const char *value)
{
    int i = takeoff_variable(name);

    if (i < 0)
        log_msg(LOG_WARN, "config", "TAKEOFF_%s is not known, and has no effect", name);
    else if (!takeoff_harmless(&takeoff_settings[i], value))
        log_msg(LOG_WARN, "config", "TAKEOFF_%s %s", name, takeoff_settings[i].note);
}

/* A name close to a key's is a slip; others (AIRSTRIP_SHARED, what tests use) are none of ours. */
static void warn_of_ours(const char *name)
{
    char key[NAME_MAX_BYTES];
    const char *nearest;
    size_t i = 0;

    for (; name[i]; i++)
        key[i] = (char)tolower((unsigned char)name[i]);
    key[i] = '\0';
    nearest = config_key(key) || !strcmp(key, "name") ? NULL : config_nearest(key);
    if (nearest)
        log_msg(LOG_WARN, "config", "AIRSTRIP_%s is not known, and has no effect; is %s meant?",
                name, nearest);
}

static int apply(struct config *c, const char *group, const struct config_key *k, const char *name,
                 const char *value, struct err *e)
{
    int rc = value ? config_set_for(c, group, k, value, e) : 0;

    if (rc)
        err_prefix(e, "environment variable %s: ", name);
    return rc;
}

/* Takeoff's variable of a key.  Where a manifest has readers, those of readers are not theirs; the
 * manifest has been told those of the server. */
static const char *takeoff_variable_of(const struct config *c, const struct config_key *k)
{
    int i = k->takeoff ? takeoff_variable(k->takeoff) : -1;

    if (i >= 0 && c->manifest && c->manifest->n_readers &&
        takeoff_settings[i].scope & TAKEOFF_READER && k->of_model)
        return NULL;
    return k->takeoff;
}

/* Bits of keys and values are a kind of number there, and a name here. */
static int apply_cache_bits(struct config *c, char *const *environment, const char *group,
                            struct err *e)
{
    static const char name[] = "TAKEOFF_QUANTIZE_CACHE_BITS";
    const char *bits = lookup(environment, name);
    const char *type = bits ? takeoff_cache_type(bits) : NULL;

    if (c->manifest && c->manifest->n_readers)
        type = NULL;
    return apply(c, group, config_key("kv_cache_type"), name, type, e);
}

/* Applies Takeoff's variable of a key, then ours, which therefore wins. */
static int apply_key(struct config *c, char *const *environment, const char *group,
                     const struct config_key *k, struct err *e)
{
    char name[NAME_MAX_BYTES + 16] = "TAKEOFF_";
    const char *takeoff = takeoff_variable_of(c, k);
    int rc;

    if (takeoff) {
        strcat(name, takeoff);
        rc = apply(c, group, k, name, lookup(environment, name), e);
        if (rc)
            return rc;
    }
    strcpy(name, "AIRSTRIP_");
    for (size_t i = 0, n = 9; i == 0 || k->name[i - 1]; i++, n++)
        name[n] = (char)toupper((unsigned char)k->name[i]);
    return apply(c, group, k, name, lookup(environment, name), e);
}

/* The model that the variables speak of; *group: what clients call it, where that is another name.
 * A group of a reader that there is not has no say: see takeoff_variable_of(). */
static const char *choose_name(const struct config *c, char *const *environment, const char **group)
{
    const char *ours = lookup(environment, "AIRSTRIP_CONSUMER_GROUP");
    const char *theirs = lookup(environment, "TAKEOFF_CONSUMER_GROUP");
    const char *id = lookup(environment, "TAKEOFF_READER_ID");

    *group = NULL;
    if (!ours)
        ours = lookup(environment, "AIRSTRIP_NAME");
    if (ours || (c->manifest && c->manifest->n_readers))
        return ours;
    if (!id || !lookup(environment, "TAKEOFF_MODEL_NAME"))
        return theirs;
    *group = theirs ? theirs : "primary";
    return id;
}

/* What Takeoff does not start with: a reader of the environment whose devices do not go together.
 */
static int check_reader(char *const *environment, struct err *e)
{
    const char *device = lookup(environment, "TAKEOFF_DEVICE");
    struct takeoff_reader r = { .id = "" };

    if (!device || strcasecmp(device, "cuda") != 0)
        return 0;
    r.values[takeoff_setting("device")] = "cuda";
    r.values[takeoff_setting("model_name")] = lookup(environment, "TAKEOFF_MODEL_NAME");
    r.values[takeoff_setting("cuda_visible_devices")] =
        lookup(environment, "TAKEOFF_CUDA_VISIBLE_DEVICES");
    r.values[takeoff_setting("tensor_parallel")] = lookup(environment, "TAKEOFF_TENSOR_PARALLEL");
    if (!r.values[takeoff_setting("model_name")] || !takeoff_reader_check(&r, e))
        return 0;
    return err_prefix(e, "environment variables TAKEOFF_...: ");
}

int config_environment(struct config *c, char *const *environment, struct err *e)
{
    const char *group, *name = choose_name(c, environment, &group);
    int rc;

    c->group = name;
    /* The FastCGI specification's own name for it (section 3.2); AIRSTRIP_LISTEN_ALLOW wins. */
    rc = apply(c, NULL, config_key("listen_allow"), "FCGI_WEB_SERVER_ADDRS",
               lookup(environment, "FCGI_WEB_SERVER_ADDRS"), e);
    if (!rc)
        rc = apply_cache_bits(c, environment, name, e);
    if (!rc)
        rc = apply(c, name, config_key("group"), "TAKEOFF_CONSUMER_GROUP", group, e);
    /* The model itself comes first (config_keys[0]): the other keys then find it. */
    for (const struct config_key *k = config_keys; !rc && k->name; k++)
        rc = apply_key(c, environment, name, k, e);
    return rc ? rc : check_reader(environment, e);
}

void config_warn(char *const *environment)
{
    char name[NAME_MAX_BYTES];
    bool any = false;

    for (char *const *p = environment; *p; p++)
        if (take_name(*p, "TAKEOFF_", name)) {
            warn_of_takeoff(name, *p + strcspn(*p, "=") + 1);
            any = true;
        } else if (take_name(*p, "AIRSTRIP_", name)) {
            warn_of_ours(name);
        }
    if (any && lookup(environment, "RUST_LOG")) /* alone it may be meant for anybody */
        log_msg(LOG_WARN, "config", "RUST_LOG has no effect here: TAKEOFF_LOG_LEVEL has");
}
