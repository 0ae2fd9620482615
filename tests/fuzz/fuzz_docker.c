/* A script with a docker run command in it, to a configuration; without the files that it may name.
 */
#include <stdint.h>
#include <string.h>

#include "fcgi/takeoff/convert/convert.h"
#include "fcgi/takeoff/readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void convert(struct arena *a, const char *text)
{
    struct takeoff t = { .n_readers = 0 };
    struct conversion c = { .arena = a, .takeoff = &t };
    struct docker d = { 0 };
    struct buf out = { 0 };
    struct script s;
    struct words w;
    struct err e = { 0 };
    size_t skip;

    script_init(&s, text, a);
    while (!script_next(&s, &w, &e) && w.n) {
        if (!docker_is_run(&w, &skip))
            continue;
        if (!docker_parse(&d, &w, skip, &s, a, &e) && !convert_docker(&c, &d, &e) &&
            !convert_write(&c, &out, &e))
            e.code = 0;
        break;
    }
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    char *text;

    arena_init(&a, 0);
    text = arena_strndup(&a, (const char *)data, size);
    if (text && !strstr(text, "env-file") && !strstr(text, "config.yaml"))
        convert(&a, text);
    arena_done(&a);
    return 0;
}
