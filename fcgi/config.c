/* The configuration as one struct: its defaults, its models, and what all sources together must add
 * up to.
 *
 * Each source calls config_set() or config_set_for() (config_keys.c); config_finish() then looks at
 * the whole. The bits of `set` say what a model was given itself, so that keys from above the
 * sections never cover a model's own, whatever the order in which sources are read. */
#include "fcgi/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fcgi/api/sampling_fields.h"
#include "fcgi/access_log.h"
#include "fcgi/config_keys.h"
#include "fcgi/parts/format.h"
#include "kernels/base/buf.h"

#define DEFAULT_ACCESS_FORMAT "%R - %u [%t] \"%m %r%q\" %s %d %M %p %g %I"

enum { FILE_MAX_BYTES = 4 * 1024 * 1024 };

void config_init(struct config *c)
{
    *c = (struct config){
        .log_level = LOG_INFO,
        .access_format = DEFAULT_ACCESS_FORMAT,
        .body_size_limit = 16 * 1024 * 1024,
        .request_memory_limit = 64 * 1024 * 1024,
        .upload_memory_limit = 256 * 1024 * 1024,
        .max_connections = 1024,
        .max_choices = 8,
        .max_user_batch_size = 1000,
        .max_prompt_string_bytes = 150000,
        .drain_timeout_ms = 120 * 1000,
        .ping_ms = 15 * 1000,
        .read_timeout_ms = 10 * 1000,
        .write_timeout_ms = 60 * 1000,
        .stall_ms = 60 * 1000,
        .listen_mode = 0660,
        .ranks_timeout_ms = 10 * 1000,
        .defaults = { .device = "auto",
                      .split_reasoning = 1,
                      .default_temperature = -1,
                      .default_top_p = -1,
                      .default_min_p = -1,
                      .default_top_k = SIZE_MAX },
    };
    arena_init(&c->storage, 0);
    atomic_init(&c->refs, 1);
}

void config_done(struct config *c)
{
    arena_done(&c->storage);
}

struct config *config_create(void)
{
    struct config *c = malloc(sizeof *c);

    if (c)
        config_init(c);
    return c;
}

void config_free(struct config *c)
{
    struct config *origin;

    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    origin = c->origin;
    config_done(c);
    free(c);
    config_free(origin);
}

/* What a client can write into `model` and a path without escapes, and the log can show plainly. */
static bool is_name(const char *s)
{
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@-");

    return len && !s[len] && len <= CONFIG_MAX_NAME_BYTES;
}

int config_model(struct config *c, const char *name, struct model_config **out, struct err *e)
{
    struct model_config *m;

    for (size_t i = 0; i < c->n_models; i++)
        if (!strcmp(c->models[i].name, name)) {
            *out = &c->models[i];
            return 0;
        }
    if (!is_name(name))
        return err_set(e, ERR_INVALID,
                       "expected a model name of letters, digits and . _ : / @ -, found \"%.130s\"",
                       name);
    if (c->n_models == CONFIG_MAX_MODELS)
        return err_set(e, ERR_INVALID, "expected at most %d models, found one more: \"%s\"",
                       CONFIG_MAX_MODELS, name);
    m = &c->models[c->n_models];
    *m = (struct model_config){ .name = arena_strndup(&c->storage, name, strlen(name)) };
    if (!m->name)
        return err_set(e, ERR_NOMEM, "no memory for the configuration");
    c->n_models++;
    *out = m;
    return 0;
}

int config_set_for(struct config *c, const char *name, const struct config_key *k,
                   const char *value, struct err *e)
{
    struct model_config *m = NULL;
    int rc = 0;

    if (!k->of_model)
        return config_set(c, NULL, k, value, e);
    if (!name && !strcmp(k->name, "model"))
        name = "primary";
    if (name) {
        rc = config_model(c, name, &m, e);
        return rc ? rc : config_set(c, m, k, value, e);
    }
    /* Models that exist have been set by a weaker source; those to come inherit. */
    rc = config_set(c, &c->defaults, k, value, e);
    for (size_t i = 0; !rc && i < c->n_models; i++)
        rc = config_set(c, &c->models[i], k, value, e);
    return rc;
}

int config_slurp(struct buf *b, const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;
    int rc = 0;

    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot open %s: %s", path,
                       strerror(errno));
    b->limit = FILE_MAX_BYTES;
    for (;;) {
        char *to = buf_room(b, 4096);

        if (!to) {
            rc = b->len + 4096 > FILE_MAX_BYTES
                     ? err_set(e, ERR_LIMIT, "%s: expected at most %d bytes", path, FILE_MAX_BYTES)
                     : err_set(e, ERR_NOMEM, "no memory for %s", path);
            break;
        }
        n = read(fd, to, 4096);
        if (n <= 0)
            break;
        b->len += (size_t)n;
        b->data[b->len] = '\0';
    }
    if (n < 0)
        rc = err_set(e, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    close(fd);
    return rc;
}

int config_read(struct config *c, const char *path, struct err *e)
{
    struct buf text = { 0 };
    int rc = config_slurp(&text, path, e);

    if (!rc)
        rc = config_parse(c, path, buf_str(&text), text.len, e);
    buf_done(&text);
    return rc;
}

/* Keys that the model does not set itself come from those outside any section. */
static void inherit(struct model_config *m, const struct model_config *from)
{
    for (const struct config_key *k = config_keys; k->name; k++) {
        size_t bytes = config_key_is_text(k) ? sizeof(char *)
                       : k->kind == KEY_REAL ? sizeof(float)
                                             : sizeof(size_t);

        if (k->of_model && !(m->set & config_bit(k)))
            memcpy((char *)m + k->offset, (const char *)from + k->offset, bytes);
    }
}

/* Zero bytes would cut the template short where it is handed on as a string. */
static int read_template(struct config *c, struct model_config *m, struct err *e)
{
    struct buf text = { 0 };
    int rc;

    if (!m->chat_template_file)
        return 0;
    rc = config_slurp(&text, m->chat_template_file, e);
    if (!rc && memchr(buf_str(&text), 0, text.len))
        rc = err_set(e, ERR_FORMAT, "chat_template_file %s: expected text, found a zero byte",
                     m->chat_template_file);
    if (!rc) {
        m->chat_template = arena_strndup(&c->storage, buf_str(&text), text.len);
        if (!m->chat_template)
            rc = err_set(e, ERR_NOMEM, "no memory for %s", m->chat_template_file);
    }
    buf_done(&text);
    return rc;
}

/* Every id, name or alias, may mean one group of models only. */
static int check_ids(const struct config *c, struct err *e)
{
    for (size_t i = 0; i < c->n_models; i++)
        for (size_t j = 0; j < c->n_models; j++) {
            const struct model_config *m = &c->models[j];

            if (!strcmp(c->models[i].group, m->group))
                continue;
            if (config_has_alias(&c->models[i], m->group))
                return err_param(e, "aliases", ERR_INVALID,
                                 "model \"%s\": the alias \"%s\" is the name of another model",
                                 c->models[i].name, m->group);
            for (const char *a = m->aliases, *end; i < j && a && *a; a = end + strspn(end, ", ")) {
                char alias[CONFIG_MAX_NAME_BYTES + 1];

                a += strspn(a, ", ");
                end = a + strcspn(a, ", ");
                if ((size_t)(end - a) >= sizeof alias)
                    continue;
                memcpy(alias, a, (size_t)(end - a));
                alias[end - a] = '\0';
                if (*alias && config_has_alias(&c->models[i], alias))
                    return err_param(e, "aliases", ERR_INVALID,
                                     "the alias \"%s\" is given to both \"%s\" and \"%s\"", alias,
                                     c->models[i].name, m->name);
            }
        }
    return 0;
}

bool config_has_alias(const struct model_config *m, const char *name)
{
    size_t len = strlen(name), n;

    for (const char *a = m->aliases; a && *a; a += n) {
        a += strspn(a, ", \t");
        n = strcspn(a, ", \t");
        if (n && n == len && !memcmp(a, name, n))
            return true;
    }
    return false;
}

/* What clients call it. */
static int check_group(struct model_config *m, struct err *e)
{
    if (!m->group)
        m->group = m->name;
    if (is_name(m->group))
        return 0;
    return err_param(e, "group", ERR_INVALID,
                     "group: expected a name of letters, digits and . _ : / @ -, found \"%.130s\"",
                     m->group);
}

/* Whether it is right shows before anybody asks. */
static int check_sampling(const struct model_config *m, struct err *e)
{
    struct sampling s = { 0 };
    struct arena a;
    int rc = 0;

    arena_init(&a, 0);
    if (m->default_sampling && sampling_fields_parse(&s, m->default_sampling, &a, e)) {
        (void)err_prefix(e, "default_sampling: ");
        rc = e->code = ERR_INVALID;
        snprintf(e->param, sizeof e->param, "default_sampling");
    }
    arena_done(&a);
    return rc;
}

static int finish_model(struct config *c, struct model_config *m, struct err *e)
{
    int rc;

    inherit(m, &c->defaults);
    if (!m->model)
        return err_param(e, "model", ERR_INVALID, "model \"%s\": expected model = FILE, found none",
                         m->name);
    rc = check_group(m, e);
    if (!rc)
        rc = models_dir_find(c, m->model, &m->path, e);
    if (!rc)
        rc = read_template(c, m, e);
    if (!rc)
        rc = check_sampling(m, e);
    if (!rc && m->tool_format && !format_find(m->tool_format))
        rc = err_param(
            e, "tool_format", ERR_INVALID,
            "tool_format: there is no format called \"%.40s\", airstrip.conf(5) lists them",
            m->tool_format);
    return rc;
}

int config_finish_last(struct config *c, struct err *e)
{
    int rc = finish_model(c, &c->models[c->n_models - 1], e);

    return rc ? rc : check_ids(c, e);
}

int config_finish(struct config *c, struct err *e)
{
    int rc = 0;

    if (!c->n_models)
        return err_param(e, "model", ERR_INVALID,
                         "no model to serve: give --model FILE, set TAKEOFF_MODEL_NAME, or write "
                         "model = FILE into the configuration file");
    for (size_t i = 0; !rc && i < c->n_models; i++)
        rc = finish_model(c, &c->models[i], e);
    if (!rc)
        rc = access_log_check(c->access_format, e);
    return rc ? rc : check_ids(c, e);
}

void config_engine(const struct model_config *m, struct engine_config *out)
{
    *out = (struct engine_config){
        .name = m->name,
        .model_path = m->path,
        .device = m->device,
        .isa = m->isa,
        .chat_template = m->chat_template,
        .chat_template_name = m->chat_template_file,
        .n_ctx = m->max_sequence_length,
        .max_batch = m->max_batch_size,
        .max_queue = m->max_queued_requests,
        .n_threads = m->threads,
        .n_ranks = m->ranks,
        .kv_bytes = m->kv_cache_size,
        .kv_type = m->kv_cache_type,
        .max_step_rows = m->prefill_chunk_size,
        .prefix_cache = (enum prefix_cache)m->prefix_cache,
        .speculation =
            m->speculation && !strcmp(m->speculation, "off") ? SPECULATION_OFF : SPECULATION_NGRAM,
        .pooling = m->pooling,
    };
}
