/* Takeoff's manifest: any bytes, then what it becomes, with the environment over it. */
#include <stdint.h>

#include "fcgi/config.h"
#include "fcgi/config_keys.h"
#include "fcgi/takeoff/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int put(void *context, const char *reader, const char *key, const char *value, struct err *e)
{
    return config_set_for(context, reader, config_key(key), value, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *environment[] = { (char *)"TAKEOFF_MAX_BATCH_SIZE=3", (char *)"TAKEOFF_PORT=1", NULL };
    struct takeoff t = { .n_readers = 0 };
    struct config c;
    struct buf devices = { 0 };
    struct err e = { 0 };

    config_init(&c);
    if (!manifest_parse(&t, "fuzz", (const char *)data, size, &c.storage, &e) &&
        !manifest_environment(&t, environment, &c.storage, &e) &&
        !takeoff_tell(&t, &c.storage, put, &c, &e)) {
        takeoff_devices(&t, &devices);
        c.manifest = &t;
        if (!config_environment(&c, environment, &e))
            e.code = 0;
    }
    buf_done(&devices);
    config_done(&c);
    return 0;
}
