/* The configuration file: any bytes, then what config_finish() makes of the result. */
#include <stdint.h>

#include "fcgi/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config c;
    struct err e = { 0 };

    config_init(&c);
    if (!config_parse(&c, "fuzz", (const char *)data, size, &e) && !config_finish(&c, &e))
        e.code = 0;
    config_done(&c);
    return 0;
}
