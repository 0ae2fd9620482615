/* What was said becomes a struct takeoff, as a manifest does; takeoff_tell() then has our keys for
 * it.  A command line adds what only it knows: where paths of the container are on the host, which
 * ports were published, which devices were handed in. */
#include "fcgi/takeoff/convert/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/takeoff/manifest.h"

/* Where a container has its manifest, and its models. */
static const char manifest_place[] = "/code/config.yaml", models_place[] = "/code/models";

static void note(struct conversion *c, const char *name, const char *sentence)
{
    takeoff_note(c->takeoff, c->arena, "%s %s", name, sentence);
}

int convert_manifest(struct conversion *c, const char *name, const char *text, size_t len,
                     struct err *e)
{
    int rc = manifest_parse(c->takeoff, name, text, len, c->arena, e);

    if (!rc && !c->takeoff->n_readers && !c->docker)
        rc = err_set(e, ERR_INVALID, "%s: there is no reader, and so no model", name);
    return rc;
}

/* --- a command line --- */

static int read_mounted(struct conversion *c, const struct docker *d, struct err *e)
{
    const char *path = docker_host_path(d, manifest_place, c->arena);
    struct buf text = { 0 };
    bool exact = false;
    int rc;

    for (size_t i = 0; i < d->mounts.n; i++)
        exact |= !strcmp(strchr(d->mounts.item[i], ':') + 1, manifest_place);
    if (!path || !exact)
        return 0; /* a mounted /code may have one or not */
    rc = config_slurp(&text, path, e);
    if (!rc)
        rc = convert_manifest(c, path, buf_str(&text), text.len, e);
    buf_done(&text);
    return rc;
}

/* The reader of the environment, called as it was, or as its group. */
static int add_reader(struct conversion *c, const struct docker *d, struct err *e)
{
    struct takeoff_reader *r = arena_alloc(c->arena, sizeof *r);
    const char *group = docker_variable(d, "TAKEOFF_CONSUMER_GROUP");
    const char *id = docker_variable(d, "TAKEOFF_READER_ID");
    int rc;

    if (!r)
        return err_set(e, ERR_NOMEM, "no memory for a reader");
    r->values[takeoff_setting("consumer_group")] = group = group ? group : "primary";
    r->id = id ? id : group;
    for (size_t i = 0; i < d->environment.n; i++) {
        char name[64];
        int s;

        if (sscanf(d->environment.item[i], "TAKEOFF_%63[^=]", name) != 1)
            continue;
        s = takeoff_variable(name);
        if (s >= 0 && takeoff_settings[s].scope & TAKEOFF_READER &&
            s != takeoff_setting("consumer_group"))
            r->values[s] = strchr(d->environment.item[i], '=') + 1;
    }
    for (int s = 0; takeoff_settings[s].name; s++)
        if (r->values[s] && !*r->values[s])
            r->values[s] = NULL;
    if (!takeoff_reader_get(r, "model_name"))
        return err_set(
            e, ERR_INVALID,
            "there is no model: TAKEOFF_MODEL_NAME is not set, and no manifest is mounted "
            "as %s",
            manifest_place);
    if (!takeoff_reader_get(r, "device"))
        note(c, "TAKEOFF_DEVICE", "is not set, which Takeoff refuses: here the device is chosen");
    rc = takeoff_reader_get(r, "device") ? takeoff_reader_check(r, e) : 0;
    if (rc)
        return err_prefix(e, "the variables of a reader: ");
    c->takeoff->readers = r;
    c->takeoff->n_readers = 1;
    return 0;
}

/* Variables of the server that have no key, and those of others. */
static void read_rest(struct conversion *c, const struct docker *d)
{
    for (size_t i = 0; i < d->environment.n; i++) {
        const char *entry = d->environment.item[i], *value = strchr(entry, '=') + 1;
        char name[64], full[80];
        int s;

        if (!*value)
            continue;
        if (!strncmp(entry, "RUST_LOG=", 9))
            note(c, "RUST_LOG", "has no equal: log_level is for everything");
        if (!strncmp(entry, "LICENSE_KEY=", 12))
            note(c, "LICENSE_KEY", "has no equal: there is no licence to check");
        if (sscanf(entry, "TAKEOFF_%63[^=]", name) != 1)
            continue;
        s = takeoff_variable(name);
        snprintf(full, sizeof full, "TAKEOFF_%s", name);
        if (s < 0)
            note(c, full, "is not known, and has no effect");
        else if (takeoff_settings[s].scope & TAKEOFF_SERVER)
            c->takeoff->server[s] = value;
    }
}

/* Paths of the container become the host's. */
static void move_models(struct conversion *c, const struct docker *d)
{
    int model = takeoff_setting("model_name");

    for (size_t i = 0; i < c->takeoff->n_readers; i++) {
        struct takeoff_reader *r = &c->takeoff->readers[i];
        const char *host =
            *r->values[model] == '/' ? docker_host_path(d, r->values[model], c->arena) : NULL;

        if (host)
            r->values[model] = host;
        else if (*r->values[model] == '/')
            takeoff_note(c->takeoff, c->arena,
                         "the model %.200s was inside the container: copy it out, and say where it "
                         "is",
                         r->values[model]);
    }
}

int convert_docker(struct conversion *c, const struct docker *d, struct err *e)
{
    char **environment = arena_array(c->arena, d->environment.n + 1, sizeof *environment);
    size_t n = 0;
    int rc;

    c->docker = d;
    if (!environment)
        return err_set(e, ERR_NOMEM, "no memory for the environment");
    for (size_t i = d->environment.n; i > 0; i--) /* who looks takes the first */
        environment[n++] = d->environment.item[i - 1];
    if (!d->image)
        return err_set(e, ERR_INVALID, "docker run: expected an image, found none");
    if (!strstr(d->image, "takeoff"))
        takeoff_note(c->takeoff, c->arena, "the image %.100s does not look like Takeoff's",
                     d->image);
    rc = read_mounted(c, d, e);
    if (!rc)
        rc = manifest_environment(c->takeoff, environment, c->arena, e);
    if (!rc && !c->takeoff->n_readers)
        rc = add_reader(c, d, e);
    if (rc)
        return rc;
    read_rest(c, d);
    move_models(c, d);
    if (d->has_arguments)
        note(c, "what stands behind the image", "has no equal");
    return 0;
}

/* --- writing --- */

struct writer {
    struct conversion *c;
    struct config *check; /* takes every value, so that none is written that cannot be read */
    struct buf *out;
    const char *section; /* the model whose keys come now; NULL: none yet */
};

static void put_value(struct buf *b, const char *value)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._:/@-+%,~=";

    if (*value && !value[strspn(value, plain)]) {
        buf_puts(b, value);
        return;
    }
    buf_putc(b, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buf_putc(b, '\\');
        buf_putc(b, *value);
    }
    buf_putc(b, '"');
}

static int put_key(void *context, const char *reader, const char *key, const char *value,
                   struct err *e)
{
    struct writer *w = context;
    int rc;

    if (strpbrk(value, "\r\n"))
        return err_set(e, ERR_INVALID, "%s: expected a value of one line", key);
    rc = config_set_for(w->check, reader, config_key(key), value, e);
    if (rc)
        return rc;
    if (reader && (!w->section || strcmp(w->section, reader))) {
        buf_puts(w->out, "\n[model ");
        buf_puts(w->out, reader);
        buf_puts(w->out, "]\n");
        w->section = reader;
    }
    if (!strcmp(key, "group") && reader && !strcmp(value, reader))
        return 0;
    buf_printf(w->out, "%s = ", key);
    put_value(w->out, value);
    buf_putc(w->out, '\n');
    return 0;
}

/* What the server listens on by its settings, or else Takeoff's default. */
static unsigned long port_of(const struct conversion *c, const char *setting, unsigned long usual)
{
    const char *value = c->takeoff->server[takeoff_setting(setting)];

    return value ? strtoul(value, NULL, 10) : usual;
}

/* The host's port for a door of the container, NULL where that is not published. */
static const char *published(const struct conversion *c, unsigned long port)
{
    static char own[24];
    const struct docker *d = c->docker;

    snprintf(own, sizeof own, "%lu", port);
    if (!d || d->host_network)
        return own;
    for (size_t i = 0; i < d->ports.n; i++) {
        const char *spec = d->ports.item[i], *inside = strrchr(spec, ':');
        unsigned long from = strtoul(inside ? inside + 1 : spec, NULL, 10), to = from;
        const char *dash = strchr(inside ? inside + 1 : spec, '-');
        const char *host = spec, *colon;
        unsigned long first;

        if (dash)
            to = strtoul(dash + 1, NULL, 10);
        if (port < from || port > to || !inside)
            continue;
        while ((colon = strchr(host, ':')) != NULL && colon != inside)
            host = colon + 1; /* behind an address, also one with colons of its own */
        first = strtoul(host, NULL, 10);
        if (!first)
            continue; /* any free port: nobody knew it */
        snprintf(own, sizeof own, "%lu", first + (port - from));
        return own;
    }
    return NULL;
}

/* Ports are the web server's; which of Takeoff's doors there are is ours to say. */
static void put_doors(struct writer *w)
{
    static const struct {
        const char *setting, *what;
        unsigned long usual;
    } doors[] = { { "openai_port", "OpenAI's API", 3003 },
                  { "port", "Takeoff's own API", 3000 },
                  { "management_port", "Takeoff's management", 3001 } };
    bool own = false;

    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        const char *host = published(w->c, port_of(w->c, doors[i].setting, doors[i].usual));

        if (!host)
            continue;
        buf_printf(w->out, "# %s was on port %s: ", doors[i].what, host);
        if (strtoul(host, NULL, 10) == doors[i].usual)
            buf_printf(w->out, "as in the sample files for web servers%s.\n",
                       i ? " in the folder takeoff" : "");
        else
            buf_printf(w->out, "write that port into the web server's file, for %lu.\n",
                       doors[i].usual);
        own |= i > 0;
    }
    if (own && w->c->docker && config_key("takeoff")) {
        buf_puts(w->out, "takeoff = on\n");
    } else if (own) {
        buf_puts(w->out,
                 "# Where clients use Takeoff's own API or its management, too:\n#takeoff = on\n");
    }
}

/* CUDA reads the first itself; of --gpus '"device=0,1"' it is what follows the '='. */
static void put_devices(struct writer *w)
{
    const struct docker *d = w->c->docker;
    const char *gpus = d && d->gpus ? strstr(d->gpus, "device=") : NULL;
    const char *visible = d ? docker_variable(d, "CUDA_VISIBLE_DEVICES") : NULL;
    struct buf devices = { 0 };

    takeoff_devices(w->c->takeoff, &devices);
    if (!devices.len && visible)
        buf_puts(&devices, visible);
    if (!devices.len && gpus)
        buf_put(&devices, gpus + 7, strcspn(gpus + 7, "\" ;"));
    if (devices.len && !strpbrk(devices.data, "\r\n"))
        buf_printf(w->out, "# In the unit: Environment=CUDA_VISIBLE_DEVICES=%s\n", devices.data);
    if (takeoff_wants_no_graphs(w->c->takeoff))
        buf_puts(w->out, "# In the unit: Environment=AIRSTRIP_CUDA_GRAPHS=0\n");
    buf_done(&devices);
}

static int put_own(struct writer *w, struct err *e)
{
    const struct docker *d = w->c->docker;
    const char *models = d ? docker_host_path(d, models_place, w->c->arena) : NULL;
    int rc = 0;

    if (models)
        rc = put_key(w, NULL, "models_dir", models, e);
    if (!rc && d && d->cpus && !d->cpus[strspn(d->cpus, "0123456789")])
        rc = put_key(w, NULL, "threads", d->cpus, e);
    return rc;
}

int convert_write(struct conversion *c, struct buf *out, struct err *e)
{
    struct buf keys = { 0 };
    struct config check;
    struct writer w = { .c = c, .check = &check, .out = &keys };
    int rc;

    config_init(&check);
    put_doors(&w);
    put_devices(&w);
    rc = put_own(&w, e);
    if (!rc)
        rc = takeoff_tell(c->takeoff, c->arena, put_key, &w, e);
    buf_printf(out, "# airstrip.conf by takeoff2airstrip, of %s\n",
               c->docker ? "a docker run command" : "a manifest");
    for (size_t i = 0; i < c->takeoff->n_notes; i++)
        buf_printf(out, "%s#   %s\n", i ? "" : "# What has no equal:\n", c->takeoff->notes[i]);
    buf_puts(out, buf_str(&keys));
    if (!rc && (out->failed || keys.failed))
        rc = err_set(e, ERR_NOMEM, "no memory for the configuration");
    buf_done(&keys);
    config_done(&check);
    return rc;
}
