/* Any bytes as a model file: refused with a sentence, or opened and then as good as weights.h
 * promises. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "inference/weights/gguf.h"
#include "tests/inference/weights/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weights *w = NULL;
    struct err e = { .code = 0 };
    int rc = weights_open_memory(&w, "fuzz", data, size, &e);

    if (rc == 0 ? !w || !sample_exercise(w) : w || rc != e.code || !e.text[0])
        abort();
    weights_close(w);
    return 0;
}
