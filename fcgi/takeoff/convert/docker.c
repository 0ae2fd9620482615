/* Options are told from words by whether they take a value: that is so for all but a list of flags,
 * so an option that is newer than this file is still skipped with its value. */
#include "fcgi/takeoff/convert/docker.h"

#include <string.h>

#include "fcgi/config.h"
#include "kernels/base/buf.h"

/* Those that take no value; all others do. */
static const char *const flags[] = {
    "detach",      "disable-content-trust",
    "help",        "init",
    "interactive", "no-healthcheck",
    "no-hosts",    "oom-kill-disable",
    "passwd",      "privileged",
    "publish-all", "quiet",
    "read-only",   "replace",
    "rm",          "rmi",
    "sig-proxy",   "tls-verify",
    "tty",         NULL,
};

/* Letters of short options, those with a value and their long names. */
static const struct {
    char letter;
    const char *name; /* NULL: takes no value */
} letters[] = {
    { 'd', NULL },       { 'i', NULL },     { 't', NULL },         { 'P', NULL },
    { 'q', NULL },       { 'a', "attach" }, { 'c', "cpu-shares" }, { 'e', "env" },
    { 'h', "hostname" }, { 'l', "label" },  { 'm', "memory" },     { 'p', "publish" },
    { 'u', "user" },     { 'v', "volume" }, { 'w', "workdir" },
};

struct run {
    struct docker *d;
    const struct script *script;
    struct arena *arena;
};

static bool is_one_of(const char *s, size_t len, const char *const *list)
{
    for (; *list; list++)
        if (strlen(*list) == len && !memcmp(*list, s, len))
            return true;
    return false;
}

/* What may stand before the program: a prompt that was copied too, sudo and its option. */
bool docker_is_run(const struct words *w, size_t *skip)
{
    static const char *const before[] = { "$", "%", "sudo", "-E", "exec", "time", NULL };
    static const char *const programs[] = { "docker", "podman", "nerdctl", "nvidia-docker", NULL };
    const char *name;
    size_t i = 0;

    while (i < w->n &&
           (is_one_of(w->item[i], strlen(w->item[i]), before) || strchr(w->item[i], '=')))
        i++;
    if (i == w->n)
        return false;
    name = strrchr(w->item[i], '/');
    name = name ? name + 1 : w->item[i];
    if (!is_one_of(name, strlen(name), programs))
        return false;
    i++;
    if (i < w->n && !strcmp(w->item[i], "container"))
        i++;
    if (i >= w->n || (strcmp(w->item[i], "run") && strcmp(w->item[i], "create")))
        return false;
    *skip = i + 1;
    return true;
}

/* --- what options mean --- */

/* NAME=VALUE, or NAME alone, which passes on what there is. */
static int add_variable(struct run *r, const char *text, size_t len, struct err *e)
{
    const char *equals = memchr(text, '=', len), *value;
    struct buf b = { 0 };
    int rc;

    if (equals)
        return words_add(&r->d->environment, r->arena, text, len, e);
    value = script_variable(r->script, text, len);
    if (!value)
        return 0;
    buf_put(&b, text, len);
    buf_printf(&b, "=%s", value);
    rc = b.failed ? err_set(e, ERR_NOMEM, "no memory for the command")
                  : words_add(&r->d->environment, r->arena, b.data, b.len, e);
    buf_done(&b);
    return rc;
}

/* A line a variable; values are as they stand, also their quotes. */
static int read_env_file(struct run *r, const char *path, struct err *e)
{
    struct buf text = { 0 };
    int rc = config_slurp(&text, path, e);

    for (const char *p = buf_str(&text), *next; !rc && *p; p = next) {
        size_t len = strcspn(p, "\n");

        next = p + len + (p[len] == '\n');
        len -= len && p[len - 1] == '\r';
        while (len && (*p == ' ' || *p == '\t'))
            p++, len--;
        if (len && *p != '#')
            rc = add_variable(r, p, len, e);
    }
    buf_done(&text);
    return rc;
}

/* HOST:CONTAINER[:OPTIONS]; one path alone is a nameless volume. */
static int add_volume(struct run *r, const char *value, struct err *e)
{
    const char *colon = strchr(value, ':');
    size_t len;

    if (!colon)
        return 0;
    len = (size_t)(colon - value) + 1 + strcspn(colon + 1, ":");
    return words_add(&r->d->mounts, r->arena, value, len, e);
}

/* type=bind,source=HOST,target=CONTAINER,... */
static int add_mount(struct run *r, const char *value, struct err *e)
{
    static const char *const from[] = { "source", "src", NULL };
    static const char *const to[] = { "target", "destination", "dst", NULL };
    const char *source = NULL, *target = NULL;
    size_t source_len = 0, target_len = 0;
    struct buf b = { 0 };
    int rc = 0;

    for (const char *p = value, *next; *p; p = next) {
        size_t len = strcspn(p, ","), name = strcspn(p, "=,");
        const char *rest = p + name + (p[name] == '=');

        next = p + len + (p[len] == ',');
        if (is_one_of(p, name, from))
            source = rest, source_len = (size_t)(p + len - rest);
        else if (is_one_of(p, name, to))
            target = rest, target_len = (size_t)(p + len - rest);
    }
    if (source && target) {
        buf_put(&b, source, source_len);
        buf_putc(&b, ':');
        buf_put(&b, target, target_len);
        rc = b.failed ? err_set(e, ERR_NOMEM, "no memory for the command")
                      : words_add(&r->d->mounts, r->arena, b.data, b.len, e);
    }
    buf_done(&b);
    return rc;
}

/* Those that say nothing about models or doors are the container's. */
static int apply(struct run *r, const char *name, size_t len, const char *value, struct err *e)
{
    static const char *const networks[] = { "network", "net", NULL };

#define IS(what) (len == strlen(what) && !memcmp(name, what, len))
    if (IS("env"))
        return add_variable(r, value, strlen(value), e);
    if (IS("env-file"))
        return read_env_file(r, value, e);
    if (IS("volume"))
        return add_volume(r, value, e);
    if (IS("mount"))
        return add_mount(r, value, e);
    if (IS("publish"))
        return words_add(&r->d->ports, r->arena, value, strlen(value), e);
    if (IS("gpus"))
        r->d->gpus = value;
    else if (IS("cpus"))
        r->d->cpus = value;
    else if (is_one_of(name, len, networks))
        r->d->host_network = !strcmp(value, "host");
#undef IS
    return 0;
}

/* --- options --- */

static int without_value(const char *option, size_t len, struct err *e)
{
    return err_set(e, ERR_INVALID, "%.*s: expected a value, found none", (int)(len < 60 ? len : 60),
                   option);
}

/* --name, --name=value, --name value.  Moves *i to the last word that it took. */
static int long_option(struct run *r, const struct words *w, size_t *i, struct err *e)
{
    const char *word = w->item[*i], *name = word + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);

    if (is_one_of(name, len, flags))
        return 0;
    if (!equals && *i + 1 == w->n)
        return without_value(word, len + 2, e);
    return apply(r, name, len, equals ? equals + 1 : w->item[++*i], e);
}

/* -it, -e VALUE, -eVALUE, -itp VALUE. */
static int short_options(struct run *r, const struct words *w, size_t *i, struct err *e)
{
    for (const char *p = w->item[*i] + 1; *p; p++) {
        const char *name = NULL, *value = p + 1 + (p[1] == '=');
        size_t k = 0;

        while (k < sizeof letters / sizeof *letters && letters[k].letter != *p)
            k++;
        if (k == sizeof letters / sizeof *letters)
            return err_set(e, ERR_INVALID, "-%c: expected an option of docker run", *p);
        name = letters[k].name;
        if (!name)
            continue;
        if (!*value && *i + 1 == w->n)
            return without_value(w->item[*i], 2, e);
        return apply(r, name, strlen(name), *value ? value : w->item[++*i], e);
    }
    return 0;
}

int docker_parse(struct docker *d, const struct words *w, size_t skip, const struct script *s,
                 struct arena *a, struct err *e)
{
    struct run r = { d, s, a };
    int rc = 0;

    *d = (struct docker){ 0 };
    for (size_t i = skip; !rc && i < w->n && !d->image; i++) {
        const char *word = w->item[i];

        if (!strncmp(word, "--", 2) && word[2]) {
            rc = long_option(&r, w, &i, e);
        } else if (*word == '-' && word[1] && strcmp(word, "--") != 0) {
            rc = short_options(&r, w, &i, e);
        } else if (strcmp(word, "--") != 0) {
            d->image = word;
            d->has_arguments = i + 1 < w->n;
        }
    }
    return rc;
}

/* --- what was said --- */

const char *docker_variable(const struct docker *d, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = d->environment.n; i > 0; i--) {
        const char *entry = d->environment.item[i - 1];

        if (!strncmp(entry, name, len) && entry[len] == '=')
            return entry[len + 1] ? entry + len + 1 : NULL;
    }
    return NULL;
}

const char *docker_host_path(const struct docker *d, const char *path, struct arena *a)
{
    const char *host = NULL, *rest = "";
    size_t host_len = 0, deepest = 0;
    struct buf b = { 0 };

    for (size_t i = 0; i < d->mounts.n; i++) {
        const char *mount = d->mounts.item[i], *inside = strchr(mount, ':') + 1;
        size_t len = strlen(inside);

        while (len > 1 && inside[len - 1] == '/')
            len--;
        if (strncmp(path, inside, len) || (path[len] && path[len] != '/' && len > 1) ||
            len < deepest)
            continue;
        deepest = len;
        host = mount;
        host_len = (size_t)(inside - 1 - mount);
        rest = len > 1 ? path + len : path;
    }
    if (!host || !host_len || !strchr("/.~", *host))
        return NULL;
    buf_put(&b, host, host_len);
    buf_puts(&b, rest);
    host = b.failed ? NULL : arena_strndup(a, b.data, b.len);
    buf_done(&b);
    return host;
}
