/* The manifest as a source of the configuration: after the file, before the environment. */
#include "fcgi/takeoff/manifest.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/buf.h"
#include "kernels/base/log.h"

enum { NAME_MAX_BYTES = 64 };

/* TAKEOFF_NAME's value; NULL where it is unset or empty, as container files leave variables. */
static const char *variable(char *const *environment, const char *setting)
{
    char name[NAME_MAX_BYTES];
    size_t len = (size_t)snprintf(name, sizeof name, "TAKEOFF_%s=", setting);

    for (size_t i = 0; i < len && i < sizeof name; i++)
        name[i] = (char)toupper((unsigned char)name[i]);
    for (; *environment; environment++)
        if (!strncmp(*environment, name, len))
            return (*environment)[len] ? *environment + len : NULL;
    return NULL;
}

int manifest_environment(struct takeoff *t, char *const *environment, struct arena *a,
                         struct err *e)
{
    const char *model = variable(environment, "model_name");
    const char *device = variable(environment, "device");

    for (int i = 0; takeoff_settings[i].name; i++) {
        const struct takeoff_setting *s = &takeoff_settings[i];
        const char *value = variable(environment, s->name);

        if (!value)
            continue;
        /* What has no key is told about as the variable that it is. */
        if (s->scope & TAKEOFF_SERVER)
            t->server[i] = takeoff_key(s) ? value : NULL;
        else if (t->n_readers && !s->note && strcmp(s->name, "cuda_visible_devices") &&
                 strcmp(s->name, "disable_cuda_graph"))
            takeoff_note(t, a, "the variable of %s has no effect: the readers are in the manifest",
                         s->name);
    }
    if (model && device && t->n_readers)
        return err_set(e, ERR_INVALID,
                       "environment variables TAKEOFF_MODEL_NAME and TAKEOFF_DEVICE: expected no "
                       "reader beside those of the manifest");
    return 0;
}

static int put(void *context, const char *reader, const char *key, const char *value, struct err *e)
{
    return config_set_for(context, reader, config_key(key), value, e);
}

int manifest_read(struct config *c, char *const *environment, struct err *e)
{
    struct takeoff *t = arena_alloc(&c->storage, sizeof *t);
    struct buf text = { 0 };
    int rc = t ? config_slurp(&text, c->takeoff_manifest, e)
               : err_set(e, ERR_NOMEM, "no memory for %s", c->takeoff_manifest);

    if (!rc)
        rc = manifest_parse(t, c->takeoff_manifest, buf_str(&text), text.len, &c->storage, e);
    if (!rc)
        rc = manifest_environment(t, environment, &c->storage, e);
    if (!rc) {
        rc = takeoff_tell(t, &c->storage, put, c, e);
        if (rc)
            err_prefix(e, "%s: ", c->takeoff_manifest);
        c->manifest = t;
    }
    buf_done(&text);
    return rc;
}

void manifest_export(const struct takeoff *t)
{
    struct buf devices = { 0 };

    takeoff_devices(t, &devices);
    if (devices.len && !devices.failed)
        setenv("CUDA_VISIBLE_DEVICES", devices.data, 0);
    buf_done(&devices);
    if (takeoff_wants_no_graphs(t))
        setenv("AIRSTRIP_CUDA_GRAPHS", "0", 0);
}

void manifest_warn(const struct takeoff *t)
{
    for (size_t i = 0; i < t->n_notes; i++)
        log_msg(LOG_WARN, "manifest", "%s", t->notes[i]);
}
