/* The environment: AIRSTRIP_KEY for every key of the table, and the variables that a user of
 * Takeoff has in place already. */
#include "fcgi/config.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "fcgi/config_keys.h"

enum { NAME_MAX_BYTES = 64 };

/* Takeoff's variables without an equal here, with the value that asks for nothing special (NULL:
 * any). Silent for those of the launcher, the licence, and ports that belong to the web server. */
static const struct ignored {
    const char *name, *harmless;
} ignored[] = {
    { "ACCESS_TOKEN", NULL },
    { "ADD_READER_ID_SUFFIX", NULL },
    { "ALLOW_REMOTE_IMAGES", "false" },
    { "BACKEND", NULL },
    { "BATCH_DURATION_MILLIS", "100" },
    { "BUFFER_REQUESTS", "true" },
    { "CR_NAME", NULL },
    { "CUDA_GRAPH_CACHE_CAPACITY", NULL },
    { "CUDA_VISIBLE_DEVICES", NULL }, /* main() passes it on */
    { "DEV_DEFAULT_CONSTRAINED_BACKEND", NULL },
    { "DISABLE_CONTINUOUS_GENERATION", "false" },
    { "DISABLE_CUDA_GRAPH", NULL },
    { "DISABLE_PAGED_ATTENTION", "0" },
    { "DISABLE_STATIC", NULL },
    { "ECHO", "false" },
    { "ENABLE_METRICS", "true" },
    { "EXPORT_TRACES", "false" },
    { "HEADLESS", "false" },
    { "HEARTBEAT_CHECK_INTERVAL", NULL },
    { "HEARTBEAT_WAIT_INTERVAL", NULL },
    { "HOST", NULL },
    { "IMAGE", NULL },
    { "INTERNAL_GATEWAY_IP", NULL },
    { "INTERNAL_PORT", NULL },
    { "MANAGEMENT_PORT", NULL },
    { "MAX_PROMPT_STRING_BYTES", "150000" },
    { "MAX_USER_BATCH_SIZE", "1000" },
    { "METRICS_LOG_LEVEL", NULL },
    { "METRICS_TARGET", NULL },
    { "NVLINK_UNAVAILABLE", NULL },
    { "OPENAI_PORT", NULL },
    { "PORT", NULL },
    { "QUANTIZE_CACHE_BITS", "16" },
    { "QUANT_TYPE", "auto" },
    { "READER_ID", NULL },
    { "READER_MESSAGE_TIMEOUT_MS", "500" },
    { "REDIS_HOST", NULL },
    { "REDIS_MAX_MEMORY", NULL },
    { "REDIS_PORT", NULL },
    { "REILL_THRESHOLD", NULL },
    { "REPOSITORY_PATH", NULL },
    { "RESERVED_CONSUMERS", "" },
    { "RUN_NAME", NULL },
    { "SNOWFLAKE_PORT", NULL },
    { "SYSTEM_STORAGE_CLASS", NULL },
    { "TENSOR_PARALLEL", "1" },
    { "TRACES_HOST", NULL },
    { "VERTEX_PORT", NULL },
};

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

static void warn_of_takeoff(const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (!strcmp(ignored[i].name, name)) {
            if (ignored[i].harmless && strcasecmp(ignored[i].harmless, value) &&
                !(!strcmp(ignored[i].harmless, "false") && !strcmp(value, "0")) &&
                !(!strcmp(ignored[i].harmless, "true") && !strcmp(value, "1")))
                log_msg(LOG_WARN, "config", "TAKEOFF_%s has no effect here", name);
            return;
        }
    for (const struct config_key *k = config_keys; k->name; k++)
        if (k->takeoff && !strcmp(k->takeoff, name))
            return;
    if (strcmp(name, "CONSUMER_GROUP"))
        log_msg(LOG_WARN, "config", "TAKEOFF_%s is not known, and has no effect", name);
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

/* Applies Takeoff's variable of a key, then ours, which therefore wins. */
static int apply_key(struct config *c, char *const *environment, const char *group,
                     const struct config_key *k, struct err *e)
{
    char name[NAME_MAX_BYTES + 16] = "TAKEOFF_";
    int rc;

    if (k->takeoff) {
        strcat(name, k->takeoff);
        rc = apply(c, group, k, name, lookup(environment, name), e);
        if (rc)
            return rc;
    }
    strcpy(name, "AIRSTRIP_");
    for (size_t i = 0, n = 9; i == 0 || k->name[i - 1]; i++, n++)
        name[n] = (char)toupper((unsigned char)k->name[i]);
    return apply(c, group, k, name, lookup(environment, name), e);
}

int config_environment(struct config *c, char *const *environment, struct err *e)
{
    static const char *const group_names[] = { "AIRSTRIP_CONSUMER_GROUP", "AIRSTRIP_NAME",
                                               "TAKEOFF_CONSUMER_GROUP" };
    const char *group = NULL;
    int rc;

    for (size_t i = 0; !group && i < sizeof group_names / sizeof *group_names; i++)
        group = lookup(environment, group_names[i]);
    c->group = group;
    /* The FastCGI specification's own name for it (section 3.2); AIRSTRIP_LISTEN_ALLOW wins. */
    rc = apply(c, NULL, config_key("listen_allow"), "FCGI_WEB_SERVER_ADDRS",
               lookup(environment, "FCGI_WEB_SERVER_ADDRS"), e);
    if (rc)
        return rc;
    /* The model itself comes first (config_keys[0]): the other keys then find it. */
    for (const struct config_key *k = config_keys; k->name; k++) {
        rc = apply_key(c, environment, group, k, e);
        if (rc)
            return rc;
    }
    return 0;
}

void config_warn(char *const *environment)
{
    char name[NAME_MAX_BYTES];

    for (char *const *p = environment; *p; p++)
        if (take_name(*p, "TAKEOFF_", name))
            warn_of_takeoff(name, *p + strcspn(*p, "=") + 1);
        else if (take_name(*p, "AIRSTRIP_", name))
            warn_of_ours(name);
}
