/* The table.  Types are those of the published takeoff-config 0.5.5, where it has the field; others
 * follow from their defaults. */
#include "fcgi/takeoff/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SERVER   TAKEOFF_SERVER
#define READER   TAKEOFF_READER
#define LAUNCHER TAKEOFF_LAUNCHER
#define TEXT     TAKEOFF_TEXT
#define COUNT    TAKEOFF_COUNT
#define SHORT    TAKEOFF_SHORT
#define PORT     TAKEOFF_PORT
#define BOOL     TAKEOFF_BOOL
#define REAL     TAKEOFF_REAL

#define WEB_PORT "has no effect here: ports are the web server's, in its own configuration"
#define REDIS    "has no effect here: requests wait in the server itself, there is no Redis"
#define TRACES \
    "has no effect here: there are no traces to export, a request's traceparent goes into the log"
#define PARTS "has no effect here: server and readers are one process"

/* clang-format off */
const struct takeoff_setting takeoff_settings[] = {
    /* A reader. */
    { "model_name", TEXT, READER, NULL, NULL },
    { "device", TEXT, READER, NULL, NULL },
    { "consumer_group", TEXT, READER, NULL, NULL },
    { "max_sequence_length", COUNT, READER, NULL, NULL },
    { "max_batch_size", COUNT, READER | SERVER, NULL, NULL },
    { "page_cache_size", TEXT, READER, NULL, NULL },
    { "prefill_chunk_size", COUNT, READER, NULL, NULL },
    { "log_level", TEXT, READER | SERVER, NULL, NULL },
    { "quantize_cache_bits", SHORT, READER, "16", "has no effect here with such a value: keys and values can have 8, 16 or 32 bits" },
    { "cuda_visible_devices", TEXT, READER, NULL, NULL },
    { "disable_cuda_graph", SHORT, READER, NULL, NULL },
    { "tensor_parallel", SHORT, READER, NULL, NULL },
    { "batch_duration_millis", COUNT, READER, "100", "has no effect here: a request joins the batch at the next step, none waits for others" },
    { "quant_type", TEXT, READER, "auto", "has no effect here: weights are as the model's file has them" },
    { "backend", TEXT, READER, NULL, "has no effect here: there is one backend for each device" },
    { "access_token", TEXT, READER, NULL, "has no effect here: the server fetches nothing, airstrip-fetch reads HF_TOKEN" },
    { "disable_paged_attention", SHORT, READER, "0", "has no effect here: keys and values are always kept in pages" },
    { "cuda_graph_cache_capacity", SHORT, READER, NULL, "has no effect here: how many graphs are kept is not for choice" },
    { "disable_static", SHORT, READER, "0", "has no effect here: there is no such mode" },
    { "nvlink_unavailable", SHORT, READER, "0", "has no effect here: links between devices are not for choice" },
    { "redis_host", TEXT, READER, "localhost", REDIS },
    { "redis_port", PORT, READER, "6379", REDIS },
    { "redis_max_memory", TEXT, READER, NULL, REDIS },
    { "internal_gateway_ip", TEXT, READER, NULL, PARTS },
    { "reader_id", TEXT, READER, NULL, NULL },
    { "add_reader_id_suffix", BOOL, READER, "false", "has no effect here: a reader's name stays as it is" },
    { "reill_threshold", REAL, READER, NULL, "has no effect here: a place in the batch is filled when it is free" },
    { "disable_continuous_generation", BOOL, READER, "false", "has no effect here: batching is always continuous" },
    { "dev_default_constrained_backend", TEXT, READER, NULL, "has no effect here: there is one way to constrain answers" },
    /* The server. */
    { "body_size_limit_bytes", COUNT, SERVER, NULL, NULL },
    { "max_queued_requests", COUNT, SERVER, NULL, NULL },
    { "port", PORT, SERVER, "3000", WEB_PORT },
    { "openai_port", PORT, SERVER, "3003", WEB_PORT },
    { "management_port", PORT, SERVER, "3001", WEB_PORT },
    { "vertex_port", PORT, SERVER, "3002", "has no effect here: Vertex's API is not offered" },
    { "snowflake_port", PORT, SERVER, "3004", "has no effect here: Snowflake's API is not offered" },
    { "internal_port", PORT, SERVER, "3005", PARTS },
    { "enable_metrics", BOOL, SERVER, "true", "has no effect here: close /metrics in the web server's configuration" },
    { "max_prompt_string_bytes", COUNT, SERVER, NULL, NULL },
    { "max_user_batch_size", COUNT, SERVER, NULL, NULL },
    { "reserved_consumers", TEXT, SERVER, "", "has no effect here: a group without a reader is answered 404" },
    { "buffer_requests", BOOL, SERVER, "true", "has no effect here: requests for a model that is loading are answered 503 with Retry-After" },
    { "reader_message_timeout_ms", COUNT, SERVER, "500", "has no effect here: stall_timeout says when an engine counts as hanging" },
    { "heartbeat_check_interval", COUNT, SERVER, "1", "has no effect here: stall_timeout says when an engine counts as hanging" },
    { "heartbeat_wait_interval", COUNT, SERVER, "10", "has no effect here: stall_timeout says when an engine counts as hanging" },
    { "allow_remote_images", BOOL, SERVER, "false", "has no effect here: models read no images" },
    { "repository_path", TEXT, SERVER, "file://~/artefacts", "has no effect here: models_dir says where models are" },
    { "echo", BOOL, SERVER, "false", "has no effect here: there is no model that only echoes" },
    { "run_name", TEXT, SERVER, "takeoff_default", "has no effect here: the unit's or the program's name tells processes apart" },
    { "export_traces", BOOL, SERVER, "false", TRACES },
    { "traces_host", TEXT, SERVER, "http://localhost:4317", TRACES },
    { "metrics_target", TEXT, SERVER, "redis", "has no effect here: metrics are at /metrics" },
    { "metrics_log_level", TEXT, SERVER, "INFO", "has no effect here: log_level is for everything" },
    { "headless", BOOL, SERVER, "false", PARTS },
    { "host", TEXT, SERVER, NULL, "has no effect here: listen, and the web server's configuration, say where" },
    /* Of those who start it. */
    { "image", TEXT, LAUNCHER, NULL, NULL },
    { "system_storage_class", TEXT, LAUNCHER, NULL, NULL },
    { "cr_name", TEXT, LAUNCHER, NULL, NULL },
    { NULL, TEXT, 0, NULL, NULL },
};
/* clang-format on */

_Static_assert(sizeof takeoff_settings / sizeof *takeoff_settings <= TAKEOFF_MAX_SETTINGS,
               "a place for every setting");

int takeoff_setting(const char *name)
{
    for (int i = 0; takeoff_settings[i].name; i++)
        if (!strcmp(takeoff_settings[i].name, name))
            return i;
    return -1;
}

int takeoff_variable(const char *name)
{
    for (int i = 0; takeoff_settings[i].name; i++) {
        const char *s = takeoff_settings[i].name, *v = name;

        while (*s && toupper((unsigned char)*s) == *v)
            s++, v++;
        if (!*s && !*v)
            return i;
    }
    return -1;
}

const struct config_key *takeoff_key(const struct takeoff_setting *s)
{
    for (const struct config_key *k = config_keys; k->name; k++)
        if (k->takeoff && !strcasecmp(k->takeoff, s->name))
            return k;
    return NULL;
}

const char *takeoff_cache_type(const char *bits)
{
    return !strcmp(bits, "8")    ? "q8_0"
           : !strcmp(bits, "16") ? "f16"
           : !strcmp(bits, "32") ? "f32"
                                 : NULL;
}

bool takeoff_harmless(const struct takeoff_setting *s, const char *value)
{
    if (!s->note || takeoff_key(s))
        return true;
    if (!strcmp(s->name, "quantize_cache_bits") && takeoff_cache_type(value))
        return true;
    if (!s->harmless)
        return false;
    if (s->type == TAKEOFF_BOOL && (!strcmp(value, "0") || !strcmp(value, "1")))
        value = *value == '1' ? "true" : "false";
    return !strcasecmp(s->harmless, value);
}

static const char *const kind_names[] = {
    [KIND_NULL] = "nothing",    [KIND_BOOL] = "a boolean", [KIND_INT] = "the number",
    [KIND_REAL] = "the number", [KIND_TEXT] = "the text",  [KIND_LIST] = "a list",
    [KIND_MAP] = "a map",
};

static const char *expected(enum takeoff_type type)
{
    switch (type) {
    case TAKEOFF_COUNT:
        return "a whole number";
    case TAKEOFF_SHORT:
        return "a whole number up to 4294967295";
    case TAKEOFF_PORT:
        return "a whole number up to 65535";
    case TAKEOFF_BOOL:
        return "true or false";
    case TAKEOFF_REAL:
        return "a number";
    case TAKEOFF_TEXT:
        break;
    }
    return "a text";
}

static bool in_range(const char *text, uint64_t max)
{
    char *end;
    unsigned long long n;

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    return !errno && !*end && n <= max;
}

static bool fits(enum takeoff_type type, enum takeoff_kind kind, const char *text)
{
    switch (type) {
    case TAKEOFF_COUNT:
        return kind == KIND_INT && in_range(text, UINT64_MAX);
    case TAKEOFF_SHORT:
        return kind == KIND_INT && in_range(text, UINT32_MAX);
    case TAKEOFF_PORT:
        return kind == KIND_INT && in_range(text, UINT16_MAX);
    case TAKEOFF_BOOL:
        return kind == KIND_BOOL;
    case TAKEOFF_REAL:
        return kind == KIND_INT || kind == KIND_REAL;
    case TAKEOFF_TEXT:
        break;
    }
    return kind != KIND_LIST && kind != KIND_MAP;
}

int takeoff_check_type(const struct takeoff_setting *s, enum takeoff_kind kind, const char *text,
                       struct err *e)
{
    if (kind == KIND_NULL || fits(s->type, kind, text))
        return 0;
    if (kind == KIND_LIST || kind == KIND_MAP || kind == KIND_BOOL)
        return err_set(e, ERR_INVALID, "expected %s, found %s", expected(s->type),
                       kind_names[kind]);
    return err_set(e, ERR_INVALID, "expected %s, found %s \"%.80s\"", expected(s->type),
                   kind_names[kind], text);
}
