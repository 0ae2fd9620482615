/* Bodies of Takeoff's doors: the first byte says whose, the rest is JSON or is not. */
#include <stdint.h>

#include "fcgi/takeoff/generate_request.h"
#include "fcgi/takeoff/reader_request.h"
#include "fcgi/takeoff/tokens_request.h"
#include "kernels/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_body(char whose, const struct value *body, struct arena *a, struct err *e)
{
    const struct takeoff_limits limits = { 100, 10000 };
    struct generate_request generate;
    struct detokenize_ask detokenize;
    struct tokenize_ask tokenize;
    struct template_ask template;
    struct change change;
    int rc = 0;

    if (whose == 'g')
        rc = generate_request_read(&generate, body, &limits, a, e);
    else if (whose == 't')
        rc = tokenize_ask_read(&tokenize, body, e);
    else if (whose == 'd')
        rc = detokenize_ask_read(&detokenize, body, e);
    else if (whose == 'c')
        rc = template_ask_read(&template, body, 100, a, e);
    else
        rc = reader_request_read(&change, body, a, e);
    if (rc && (!e->text[0] || rc != e->code))
        __builtin_trap(); /* an error without its sentence */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct value *body;
    struct arena a;
    struct err e = { 0 };

    if (!size)
        return 0;
    log_set_level(LOG_ERROR); /* settings without an equal are told about */
    arena_init(&a, 1 << 20);
    if (!params_body((const char *)data + 1, size - 1, &a, &body, &e))
        read_body((char)*data, body, &a, &e);
    arena_done(&a);
    return 0;
}
