/* Any bytes as JSON: refused with a sentence, or a tree whose text reads back as the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct value *v, *again;
    struct buf once = { 0 }, twice = { 0 };
    struct err e = { 0 };
    int rc;

    arena_init(&a, 4 << 20);
    rc = json_parse((const char *)data, size, 40, &a, &v, &e);
    if (rc ? rc != e.code || !e.text[0] || v : !v)
        abort();
    if (rc == 0) {
        json_write(&once, v);
        rc = json_parse(buf_str(&once), once.len, 40, &a, &again, &e);
        if (rc && rc != ERR_NOMEM)
            abort();
        if (rc == 0) {
            json_write(&twice, again);
            if (twice.len != once.len || memcmp(once.data, twice.data, once.len) != 0)
                abort();
        }
    }
    buf_done(&once);
    buf_done(&twice);
    arena_done(&a);
    return 0;
}
