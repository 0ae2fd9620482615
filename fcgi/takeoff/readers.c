/* What readers have, whether that can go together, and what it is called here. */
#include "fcgi/takeoff/readers.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *takeoff_reader_get(const struct takeoff_reader *r, const char *name)
{
    int i = takeoff_setting(name);

    return i < 0 ? NULL : r->values[i];
}

/* "0,1": how many; 0 where it is anything else.  Takeoff's numbers have 32 bits. */
static size_t count_devices(const char *s)
{
    size_t n = 0;

    for (;; s++) {
        size_t digits = strspn(s, "0123456789");

        if (!digits || digits > 10 || strtoull(s, NULL, 10) > UINT32_MAX)
            return 0;
        n++;
        s += digits;
        if (*s != ',')
            return *s ? 0 : n;
    }
}

/* A number too long for size_t is more devices than there are, whatever it is. */
static int check_tensor_parallel(const char *value, const char *device, size_t n_devices,
                                 struct err *e)
{
    unsigned long long n = strtoull(value, NULL, 10);
    const char *why = NULL;

    if (!strcmp(device, "cpu"))
        why = "is not for device cpu: leave it out";
    else if (!n)
        why = "expected at least 1, found 0";
    else if (n > 1 && n % 2)
        why = "expected 1 or an even number";
    else if (n_devices && n > n_devices)
        why = "is more than cuda_visible_devices has";
    return why ? err_param(e, "tensor_parallel", ERR_INVALID, "tensor_parallel: %s", why) : 0;
}

int takeoff_reader_check(const struct takeoff_reader *r, struct err *e)
{
    const char *device = takeoff_reader_get(r, "device");
    const char *model = takeoff_reader_get(r, "model_name");
    const char *visible = takeoff_reader_get(r, "cuda_visible_devices");
    const char *parallel = takeoff_reader_get(r, "tensor_parallel");
    size_t n_devices = visible ? count_devices(visible) : 0;

    if (!model)
        return err_param(e, "model_name", ERR_INVALID, "missing field model_name");
    if (!*model)
        return err_param(e, "model_name", ERR_INVALID,
                         "model_name: expected a model, found an empty text");
    if (!device)
        return err_param(e, "device", ERR_INVALID, "missing field device");
    if (!strcmp(device, "api"))
        return err_param(e, "device", ERR_UNSUPPORTED,
                         "device: api (a remote model) is not offered; expected cpu or cuda");
    if (strcmp(device, "cpu") && strcmp(device, "cuda"))
        return err_param(e, "device", ERR_INVALID, "device: expected cpu or cuda, found \"%.80s\"",
                         device);
    if (visible && !n_devices)
        return err_param(e, "cuda_visible_devices", ERR_INVALID,
                         "cuda_visible_devices: expected whole numbers with commas between, such "
                         "as \"0,1\", found \"%.80s\"",
                         visible);
    return parallel ? check_tensor_parallel(parallel, device, n_devices, e) : 0;
}

void takeoff_note(struct takeoff *t, struct arena *a, const char *fmt, ...)
{
    char text[400];
    const char *kept;
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *p = text; *p; p++) /* a line stays one, whatever a field is called */
        if ((unsigned char)*p < ' ')
            *p = '?';
    for (size_t i = 0; i < t->n_notes; i++)
        if (!strcmp(t->notes[i], text))
            return;
    if (t->n_notes == t->notes_cap) {
        size_t cap = t->notes_cap ? 2 * t->notes_cap : 16;
        const char **more = arena_array(a, cap, sizeof *more);

        if (!more)
            return;
        if (t->n_notes)
            memcpy(more, t->notes, t->n_notes * sizeof *more);
        t->notes = more;
        t->notes_cap = cap;
    }
    kept = arena_strndup(a, text, strlen(text));
    if (kept)
        t->notes[t->n_notes++] = kept;
}

void takeoff_devices(const struct takeoff *t, struct buf *out)
{
    char have[1024] = ",", one[40];

    for (size_t i = 0; i < t->n_readers; i++) {
        const char *s = takeoff_reader_get(&t->readers[i], "cuda_visible_devices");
        const char *device = takeoff_reader_get(&t->readers[i], "device");

        if (device && !strcmp(device, "cpu"))
            continue;
        for (size_t n; s && *s; s += n + (s[n] == ',')) {
            n = strcspn(s, ",");
            snprintf(one, sizeof one, ",%.*s,", n < 32 ? (int)n : 32, s);
            if (strstr(have, one) || strlen(have) + n + 2 > sizeof have)
                continue;
            strcat(have, one + 1);
            buf_printf(out, "%s%.*s", out->len ? "," : "", (int)n, s);
        }
    }
}

bool takeoff_wants_no_graphs(const struct takeoff *t)
{
    for (size_t i = 0; i < t->n_readers; i++) {
        const char *off = takeoff_reader_get(&t->readers[i], "disable_cuda_graph");

        if (off && strcmp(off, "0"))
            return true;
    }
    return false;
}

/* --- what it is here --- */

/* Our key for a setting, NULL if none; *value may become another word for the same. */
static const char *translate(const struct takeoff_setting *s, const char **value)
{
    const struct config_key *k = takeoff_key(s);

    if (k)
        return k->name;
    if (!strcmp(s->name, "consumer_group"))
        return "group";
    if (strcmp(s->name, "quantize_cache_bits") != 0)
        return NULL;
    *value = takeoff_cache_type(*value);
    return "kv_cache_type";
}

/* A log level is the server's here: the first reader's where the server has none. */
static const char *server_value(const struct takeoff *t, int i)
{
    const char *value = t->server[i];

    for (size_t j = 0; !value && !strcmp(takeoff_settings[i].name, "log_level") && j < t->n_readers;
         j++)
        value = t->readers[j].values[i];
    return value;
}

/* max_batch_size of the server is each reader's default. */
static const char *reader_value(const struct takeoff *t, const struct takeoff_reader *r, int i)
{
    const struct takeoff_setting *s = &takeoff_settings[i];
    const char *value = r->values[i];

    if (!(s->scope & TAKEOFF_READER) || !strcmp(s->name, "log_level"))
        return NULL;
    if ((!value || !strcmp(value, "0")) && !strcmp(s->name, "max_batch_size"))
        value = t->server[i];
    return value && *value ? value : NULL;
}

static void note(struct takeoff *t, struct arena *a, int i, const char *value)
{
    const struct takeoff_setting *s = &takeoff_settings[i];

    if (value && !takeoff_harmless(s, value))
        takeoff_note(t, a, "%s %s", s->name, s->note);
}

/* A process there has the devices that it names to itself; here all models are in one. */
static void note_devices(struct takeoff *t, struct arena *a)
{
    const char *first = NULL;

    for (size_t j = 0; j < t->n_readers; j++) {
        const char *device = takeoff_reader_get(&t->readers[j], "device");
        const char *visible = takeoff_reader_get(&t->readers[j], "cuda_visible_devices");

        if (!visible || (device && !strcmp(device, "cpu")))
            continue;
        if (first && strcmp(first, visible) != 0)
            takeoff_note(t, a,
                         "cuda_visible_devices of several readers has no effect for each of them: "
                         "every model begins with the first device of all");
        first = visible;
    }
}

int takeoff_tell(struct takeoff *t, struct arena *a, takeoff_put *put, void *context, struct err *e)
{
    int rc = 0;

    note_devices(t, a);
    for (int i = 0; !rc && takeoff_settings[i].name; i++) {
        const char *value = server_value(t, i);
        const char *key = value ? translate(&takeoff_settings[i], &value) : NULL;

        note(t, a, i, t->server[i]);
        if (key && value && *value && strcmp(takeoff_settings[i].name, "max_batch_size") != 0)
            rc = put(context, NULL, key, value, e);
    }
    for (size_t j = 0; j < t->n_readers; j++)
        for (int i = 0; !rc && takeoff_settings[i].name; i++) {
            const char *value = reader_value(t, &t->readers[j], i);
            const char *key = value ? translate(&takeoff_settings[i], &value) : NULL;

            note(t, a, i, t->readers[j].values[i]);
            if (key && value)
                rc = put(context, t->readers[j].id, key, value, e);
            if (rc)
                err_prefix(e, "reader %.80s: ", t->readers[j].id);
        }
    return rc;
}
