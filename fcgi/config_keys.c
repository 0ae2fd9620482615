/* The table, and how each kind of value is read.  An entry's help begins with the placeholder of
 * its value. */
#include "fcgi/config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A slip is at most three letters away from what was meant. */
enum { KB = 1024, MAX_DISTANCE = 3, NAME_MAX_BYTES = 64 };
static const size_t HUGE_COUNT = (size_t)1 << 40;
static const size_t DAY_MS = 24 * 3600 * 1000;

static const char *const SWITCH[] = { "off", "on", NULL };
static const char *const SANDBOXES[] = { "on", "log", "off", NULL };   /* as enum sandbox */
static const char *const LAUNCHERS[] = { "auto", "on", "off", NULL };  /* as enum launcher */
static const char *const PRECISIONS[] = { "f32", "bf16", "q8", NULL }; /* as enum ranks_precision */
static const char *const CACHES[] = { "on", "prompts", "off", NULL };  /* as enum prefix_cache */

#define SERVER(field) false, offsetof(struct config, field)
#define MODEL(field)  true, offsetof(struct model_config, field)

/* clang-format off */
const struct config_key config_keys[] = {
    { "model", KEY_TEXT, MODEL(model), 0, 0, "MODEL_NAME", "FILE  GGUF file or Hugging Face folder, or its name in a models folder" },
    { "device", KEY_DEVICE, MODEL(device), 0, 0, "DEVICE", "NAME  auto, cpu or cuda" },
    { "max_sequence_length", KEY_COUNT, MODEL(max_sequence_length), 0, (size_t)1 << 24, "MAX_SEQUENCE_LENGTH", "N  longest prompt and answer together, in tokens; 0: the model's own" },
    { "max_batch_size", KEY_COUNT, MODEL(max_batch_size), 0, 4096, "MAX_BATCH_SIZE", "N  sequences generated together; 0: the default" },
    { "max_queued_requests", KEY_COUNT, MODEL(max_queued_requests), 0, HUGE_COUNT, "MAX_QUEUED_REQUESTS", "N  requests that may wait; more are answered 503" },
    { "prefill_chunk_size", KEY_COUNT, MODEL(prefill_chunk_size), 0, (size_t)1 << 20, "PREFILL_CHUNK_SIZE", "N  prompt tokens evaluated per step" },
    { "threads", KEY_COUNT, MODEL(threads), 0, 4096, NULL, "N  processor threads; 0: one per processor" },
    { "ranks", KEY_COUNT, MODEL(ranks), 0, 64, "TENSOR_PARALLEL", "N  GPUs that compute the model together, each with a part of every layer; 0: one has it all" },
    { "isa", KEY_TEXT, MODEL(isa), 0, 0, NULL, "NAME  processor instruction set: amx, avx512bf16, avx512, avxvnni, avx2, neon or scalar; without it the fastest" },
    { "speculation", KEY_SPECULATION, MODEL(speculation), 0, 0, NULL, "NAME  guess tokens that repeat earlier text and verify several at once: ngram or off" },
    { "kv_cache_size", KEY_BYTES, MODEL(kv_cache_size), 0, SIZE_MAX, "PAGE_CACHE_SIZE", "SIZE  memory for keys and values, such as 5GB or 50%" },
    { "prefix_cache", KEY_CACHE, MODEL(prefix_cache), 0, 0, NULL, "WHAT  whose beginnings later prompts may share: on (prompts and answers), prompts, off" },
    { "client_priority", KEY_SWITCH, MODEL(client_priority), 0, 0, NULL, "on|off  whether a request's priority says how early it is served" },
    { "kv_cache_type", KEY_TEXT, MODEL(kv_cache_type), 0, 0, NULL, "NAME  how keys and values are kept: f32, f16, bf16, q8_0 or, on a GPU, f8; without it f16" },
    { "chat_template", KEY_TEXT, MODEL(chat_template), 0, 0, NULL, "TEXT  Jinja chat template that replaces the model's" },
    { "chat_template_file", KEY_TEXT, MODEL(chat_template_file), 0, 0, NULL, "FILE  the same, from a file" },
    { "tool_format", KEY_TEXT, MODEL(tool_format), 0, 0, NULL, "NAME  how the model writes tool calls; without it by its chat template" },
    { "split_reasoning", KEY_SWITCH, MODEL(split_reasoning), 0, 0, NULL, "on|off  whether reasoning is told apart, as reasoning_content, or stays in the content" },
    { "pooling", KEY_TEXT, MODEL(pooling), 0, 0, NULL, "NAME  how an embedding is made of a text's tokens: mean, cls or last; without it as the model says" },
    { "group", KEY_TEXT, MODEL(group), 0, 0, NULL, "NAME  what clients call the model, where that is not its section's name; several models may share one, and so its requests" },
    { "aliases", KEY_TEXT, MODEL(aliases), 0, 0, NULL, "A,B  further names that clients may ask for" },
    { "default_temperature", KEY_REAL, MODEL(default_temperature), 0, 2, NULL, "X  temperature of requests that name none; without it the model's own" },
    { "default_top_p", KEY_REAL, MODEL(default_top_p), 0, 1, NULL, "X  the same for top_p" },
    { "default_min_p", KEY_REAL, MODEL(default_min_p), 0, 1, NULL, "X  the same for min_p" },
    { "default_top_k", KEY_COUNT, MODEL(default_top_k), 0, INT32_MAX, NULL, "N  the same for top_k; 0: off" },
    { "default_sampling", KEY_TEXT, MODEL(default_sampling), 0, 0, NULL, "JSON  the same for any other way of choosing tokens, such as {\"repeat_penalty\": 1.1}" },
    { "default_max_tokens", KEY_COUNT, MODEL(default_max_tokens), 0, HUGE_COUNT, NULL, "N  the same for max_tokens of a chat; 0: until the context is full" },
    { "listen", KEY_TEXT, SERVER(listen), 0, 0, NULL, "WHERE  socket path, HOST:PORT or [ADDRESS]:PORT" },
    { "listen_mode", KEY_OCTAL, SERVER(listen_mode), 0, 0777, NULL, "MODE  permissions of the socket, such as 0660" },
    { "status_listen", KEY_TEXT, SERVER(status_listen), 0, 0, NULL, "WHERE  a socket of its own for status and metrics, over FastCGI or HTTP, without keys" },
    { "listen_allow", KEY_ALLOW, SERVER(listen_allow), 0, 0, NULL, "ADDRESSES  who may connect to a TCP socket, such as 10.0.0.0/8, 192.168.1.7, fd00::/8" },
    { "status_allow", KEY_ALLOW, SERVER(status_allow), 0, 0, NULL, "ADDRESSES  the same for status_listen; without it as listen_allow" },
    { "take_over", KEY_SWITCH, SERVER(take_over), 0, 0, NULL, "on|off  whether the process that serves status_listen, if there is one, gives its sockets to this one and ends" },
    { "api_keys", KEY_TEXT, SERVER(api_keys), 0, 0, NULL, "FILE  API keys, one a line" },
    { "cors_origin", KEY_TEXT, SERVER(cors_origin), 0, 0, NULL, "ORIGINS  sites whose pages may ask, with commas between; * for all" },
    { "takeoff_manifest", KEY_TEXT, SERVER(takeoff_manifest), 0, 0, NULL, "FILE  manifest of Takeoff (config.yaml), whose readers become models" },
    { "models_dir", KEY_TEXT, SERVER(models_dir), 0, 0, NULL, "DIR  where model names are looked up first" },
    { "body_size_limit", KEY_BYTES, SERVER(body_size_limit), 1, SIZE_MAX / 2, "BODY_SIZE_LIMIT_BYTES", "SIZE  largest request body" },
    { "request_memory_limit", KEY_BYTES, SERVER(request_memory_limit), 64 * KB, SIZE_MAX / 2, NULL, "SIZE  most memory for one request's contents" },
    { "upload_memory_limit", KEY_BYTES, SERVER(upload_memory_limit), 256 * KB, SIZE_MAX / 2, NULL, "SIZE  most memory for all requests that are still coming in" },
    { "max_connections", KEY_COUNT, SERVER(max_connections), 1, 16384, NULL, "N  requests served at the same time" },
    { "address_concurrency", KEY_COUNT, SERVER(address_concurrency), 0, HUGE_COUNT, NULL, "N  requests of one address at the same time; more are answered 429; 0: no limit" },
    { "address_requests_per_minute", KEY_COUNT, SERVER(address_requests), 0, HUGE_COUNT, NULL, "N  requests of one address a minute; 0: no limit" },
    { "address_tokens_per_minute", KEY_COUNT, SERVER(address_tokens), 0, HUGE_COUNT, NULL, "N  tokens of prompts and answers that one address may have a minute; 0: no limit" },
    { "max_choices", KEY_COUNT, SERVER(max_choices), 1, 128, NULL, "N  most choices (n) in one request" },
    { "takeoff", KEY_SWITCH, SERVER(takeoff), 0, 0, NULL, "on|off  whether requests that come through Takeoff's doors are answered, see airstrip-takeoff(7)" },
    { "max_user_batch_size", KEY_COUNT, SERVER(max_user_batch_size), 1, 1 << 20, "MAX_USER_BATCH_SIZE", "N  texts that one request may bring through Takeoff's doors" },
    { "max_prompt_string_bytes", KEY_COUNT, SERVER(max_prompt_string_bytes), 1, SIZE_MAX / 2, "MAX_PROMPT_STRING_BYTES", "N  bytes that each of them may have" },
    { "seccomp", KEY_SANDBOX, SERVER(seccomp), 0, 0, NULL, "on|log|off  what becomes of system calls that serving does not need: refused, told to the kernel's log, nothing" },
    { "mpi", KEY_LAUNCHER, SERVER(launcher), 0, 0, NULL, "auto|on|off  whether processes that MPI's launcher has started together compute one model: where it has started several, always, never" },
    { "ranks_timeout", KEY_DURATION, SERVER(ranks_timeout_ms), 100, DAY_MS, NULL, "TIME  without a sign of life after which one of such processes has failed, and with it all" },
    { "ranks_precision", KEY_PRECISION, SERVER(ranks_precision), 0, 0, NULL, "f32|bf16|q8  how values travel between them" },
    { "ping_interval", KEY_DURATION, SERVER(ping_ms), 0, DAY_MS, NULL, "TIME  between comments in a silent stream; 0: none" },
    { "request_timeout", KEY_DURATION, SERVER(request_timeout_ms), 0, DAY_MS, NULL, "TIME  longest a request may take; 0: no limit" },
    { "drain_notice", KEY_DURATION, SERVER(drain_notice_ms), 0, DAY_MS, NULL, "TIME  from the signal to shut down on, while /readyz says so and all is served as ever, for balancers to notice" },
    { "drain_timeout", KEY_DURATION, SERVER(drain_timeout_ms), 0, DAY_MS, NULL, "TIME  for running requests to finish at shutdown" },
    { "stall_timeout", KEY_DURATION, SERVER(stall_ms), 0, DAY_MS, NULL, "TIME  without a step although there is work: then the engine hangs and /readyz says so; 0: never" },
    { "stall_exit", KEY_SWITCH, SERVER(stall_exit), 0, 0, NULL, "on|off  whether the program then ends, or when an engine has failed, for a supervisor to start it anew" },
    { "read_timeout", KEY_DURATION, SERVER(read_timeout_ms), 1, DAY_MS, NULL, "TIME  the web server may pause while it sends a request" },
    { "write_timeout", KEY_DURATION, SERVER(write_timeout_ms), 1, DAY_MS, NULL, "TIME  the web server may refuse to take the answer" },
    { "log", KEY_TEXT, SERVER(log), 0, 0, NULL, "FILE  log file; without it standard error" },
    { "access_log", KEY_TEXT, SERVER(access_log), 0, 0, NULL, "FILE  a line for each request in a file of its own" },
    { "access_format", KEY_TEXT, SERVER(access_format), 0, 0, NULL, "FORMAT  what such a line says, with PHP-FPM's letters" },
    { "slow_request", KEY_DURATION, SERVER(slow_ms), 0, DAY_MS, NULL, "TIME  requests that take longer are told in the log, while they do; 0: none are" },
    { "log_prompts", KEY_SWITCH, SERVER(log_prompts), 0, 0, NULL, "on|off  whether what clients send goes into the log" },
    { "log_level", KEY_LEVEL, SERVER(log_level), 0, 0, "LOG_LEVEL", "LEVEL  debug, info, warn or error" },
    { NULL, KEY_TEXT, false, 0, 0, 0, NULL, NULL },
};
/* clang-format on */

const struct config_key *config_key(const char *name)
{
    if (!strcmp(name, "path"))
        name = "model";
    for (const struct config_key *k = config_keys; k->name; k++)
        if (!strcmp(k->name, name))
            return k;
    return NULL;
}

bool config_key_is_text(const struct config_key *k)
{
    return k->kind == KEY_TEXT || k->kind == KEY_DEVICE || k->kind == KEY_SPECULATION;
}

uint64_t config_bit(const struct config_key *k)
{
    unsigned n = 0;

    for (const struct config_key *before = config_keys; before != k; before++)
        n += before->of_model == k->of_model;
    return (uint64_t)1 << n;
}

/* Levenshtein distance; both strings shorter than NAME_MAX_BYTES. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1], n = strlen(b);

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *config_nearest(const char *name)
{
    const char *nearest = NULL;
    size_t best = MAX_DISTANCE + 1;

    if (strlen(name) >= NAME_MAX_BYTES)
        return NULL;
    for (const struct config_key *k = config_keys; k->name; k++) {
        size_t d = distance(name, k->name);

        if (d < best && d < strlen(k->name)) {
            best = d;
            nearest = k->name;
        }
    }
    return nearest;
}

static int check_device(const struct config_key *k, const char *word, const char *value,
                        struct err *e)
{
    if (!strcmp(word, "api"))
        return err_param(e, k->name, ERR_INVALID,
                         "%s: api (a remote model) is not offered; expected auto, cpu or cuda",
                         k->name);
    if (strcmp(word, "auto") && strcmp(word, "cpu") && strcmp(word, "cuda"))
        return err_param(e, k->name, ERR_INVALID, "%s: expected auto, cpu or cuda, found \"%.80s\"",
                         k->name, value);
    return 0;
}

static int check_speculation(const struct config_key *k, const char *word, const char *value,
                             struct err *e)
{
    if (!strcmp(word, "ngram") || !strcmp(word, "off"))
        return 0;
    return err_param(e, k->name, ERR_INVALID, "%s: expected ngram or off, found \"%.80s\"", k->name,
                     value);
}

/* Levels, devices and the like in lower case, as Takeoff's users write INFO. */
static int set_word(struct config *c, const struct config_key *k, void *field, const char *value,
                    struct err *e)
{
    char word[16] = "";
    const char *kept;
    enum log_level level;
    int rc;

    for (size_t i = 0; value[i] && i + 1 < sizeof word; i++)
        word[i] = (char)tolower((unsigned char)value[i]);
    if (k->kind == KEY_LEVEL) {
        if (!strcmp(word, "warning"))
            strcpy(word, "warn");
        else if (!strcmp(word, "trace"))
            strcpy(word, "debug");
        if (log_parse_level(word, &level))
            return err_param(e, k->name, ERR_INVALID,
                             "%s: expected debug, info, warn or error, found \"%.80s\"", k->name,
                             value);
        memcpy(field, &level, sizeof level);
        return 0;
    }
    rc = k->kind == KEY_DEVICE ? check_device(k, word, value, e)
                               : check_speculation(k, word, value, e);
    if (rc)
        return rc;
    kept = arena_strndup(&c->storage, word, strlen(word));
    if (!kept)
        return err_set(e, ERR_NOMEM, "no memory for the configuration");
    memcpy(field, &kept, sizeof kept);
    return 0;
}

/* The number of a word in a list that ends with NULL. */
static int set_choice(const struct config_key *k, const char *const *words, void *field,
                      const char *value, struct err *e)
{
    for (size_t i = 0; words[i]; i++)
        if (!strcasecmp(words[i], value)) {
            memcpy(field, &i, sizeof i);
            return 0;
        }
    if (!words[2])
        return err_param(e, k->name, ERR_INVALID, "%s: expected %s or %s, found \"%.80s\"", k->name,
                         words[0], words[1], value);
    return err_param(e, k->name, ERR_INVALID, "%s: expected %s, %s or %s, found \"%.80s\"", k->name,
                     words[0], words[1], words[2], value);
}

/* Fields of texts are const char *, kept in the configuration's arena. */
static int set_text(struct config *c, const struct config_key *k, void *field, const char *value,
                    struct err *e)
{
    const char *kept;

    if (!*value)
        return err_param(e, k->name, ERR_INVALID, "%s: expected a value, found none", k->name);
    kept = arena_strndup(&c->storage, value, strlen(value));
    if (!kept)
        return err_set(e, ERR_NOMEM, "no memory for the configuration");
    memcpy(field, &kept, sizeof kept);
    return 0;
}

static int set_allow(struct config *c, const struct config_key *k, void *field, const char *value,
                     struct err *e)
{
    const struct allow *list;
    int rc = allow_parse(&list, k->name, value, &c->storage, e);

    if (!rc)
        memcpy(field, &list, sizeof list);
    return rc;
}

int config_set(struct config *c, struct model_config *m, const struct config_key *k,
               const char *value, struct err *e)
{
    void *field = (char *)(k->of_model ? (void *)m : (void *)c) + k->offset;
    uint64_t *set = k->of_model ? &m->set : &c->set;
    int rc;

    if (k->kind == KEY_TEXT)
        rc = set_text(c, k, field, value, e);
    else if (k->kind == KEY_LEVEL || k->kind == KEY_DEVICE || k->kind == KEY_SPECULATION)
        rc = set_word(c, k, field, value, e);
    else if (k->kind == KEY_SWITCH)
        rc = set_choice(k, SWITCH, field, value, e);
    else if (k->kind == KEY_CACHE)
        rc = set_choice(k, CACHES, field, value, e);
    else if (k->kind == KEY_SANDBOX)
        rc = set_choice(k, SANDBOXES, field, value, e);
    else if (k->kind == KEY_ALLOW)
        rc = set_allow(c, k, field, value, e);
    else if (k->kind == KEY_LAUNCHER)
        rc = set_choice(k, LAUNCHERS, field, value, e);
    else if (k->kind == KEY_PRECISION)
        rc = set_choice(k, PRECISIONS, field, value, e);
    else if (k->kind == KEY_REAL)
        rc = config_set_real(k, field, value, e);
    else
        rc = config_set_number(k, field, value, e);
    if (rc)
        return rc;
    *set |= config_bit(k);
    if (!strcmp(k->name, "chat_template") || !strcmp(k->name, "chat_template_file")) {
        /* Two ways to say one thing: the later one, wherever it comes from, replaces the other. */
        *set |=
            config_bit(config_key("chat_template")) | config_bit(config_key("chat_template_file"));
        if (field == &m->chat_template)
            m->chat_template_file = NULL;
        else
            m->chat_template = NULL;
    }
    return 0;
}
