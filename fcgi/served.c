/* A model's identity is every key of its configuration that an engine depends on, and its file's
 * inode, size and time: a file that was replaced under the same name is another model.  Keys that
 * are looked at with each request are left out, so that to change them costs nothing. */
#include "fcgi/served.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fcgi/config_keys.h"
#include "fcgi/launch.h"
#include "kernels/base/heap.h"

static const char *const read_with_each_request[] = {
    "aliases",
    "client_priority",
    "default_max_tokens",
    "default_min_p",
    "default_temperature",
    "default_top_k",
    "default_top_p",
    "group",
    "split_reasoning",
    "tool_format",
    NULL,
};

static bool is_read_with_each_request(const char *key)
{
    for (size_t i = 0; read_with_each_request[i]; i++)
        if (!strcmp(read_with_each_request[i], key))
            return true;
    return false;
}

static void put_text(struct buf *b, const char *s)
{
    buf_printf(b, "%zu:%s;", s ? strlen(s) : 0, s ? s : "");
}

static void identify(struct buf *b, const struct model_config *c)
{
    struct stat st;

    put_text(b, c->name);
    put_text(b, c->path);
    put_text(b, c->chat_template); /* also what was read from a file */
    for (const struct config_key *k = config_keys; k->name; k++) {
        const void *field = (const char *)c + k->offset;

        if (!k->of_model || is_read_with_each_request(k->name))
            continue;
        if (config_key_is_text(k)) {
            const char *text;

            memcpy(&text, field, sizeof text);
            put_text(b, text);
        } else {
            buf_put(b, field, k->kind == KEY_REAL ? sizeof(float) : sizeof(size_t));
        }
    }
    if (!stat(c->path, &st))
        buf_printf(b, "%llu:%llu:%lld:%lld.%ld", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino, (long long)st.st_size,
                   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static bool is_same(const struct served *a, const struct served *b)
{
    struct engine_status s = { .state = ENGINE_FAILED };

    if (a->engine)
        engine_status(a->engine, &s);
    return s.state != ENGINE_FAILED && a->identity.len == b->identity.len &&
           !memcmp(a->identity.data, b->identity.data, a->identity.len);
}

int served_open(struct served **out, const struct model_config *c, struct served *earlier,
                struct err *e)
{
    struct served *s = calloc(1, sizeof *s);
    struct engine_config ec;
    struct stat st;

    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for model \"%s\"", c->name);
    identify(&s->identity, c);
    if (s->identity.failed) {
        served_unref(s);
        return err_set(e, ERR_NOMEM, "no memory for model \"%s\"", c->name);
    }
    if (earlier && is_same(earlier, s)) {
        served_unref(s);
        atomic_fetch_add(&earlier->refs, 1);
        *out = earlier;
        return 0;
    }
    atomic_init(&s->refs, 1);
    s->created = stat(c->path, &st) ? time(NULL) : st.st_mtime;
    config_engine(c, &ec);
    if (launch_engine(&ec, &s->failure) || engine_open(&s->engine, &ec, &s->failure))
        s->engine = NULL;
    *out = s;
    return 0;
}

void served_unref(struct served *s)
{
    if (!s || (atomic_load(&s->refs) && atomic_fetch_sub(&s->refs, 1) != 1))
        return;
    if (s->engine) {
        engine_close(s->engine);
        heap_give_back();
    }
    buf_done(&s->identity);
    free(s);
}
