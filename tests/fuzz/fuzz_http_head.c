/* What comes to the status socket, read as the head of an HTTP request. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fcgi/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    struct http_head h;

    (void)http_head_is_whole(bytes, size);
    if (http_head_read(&h, bytes, size)) {
        assert(!strncmp(h.params[0], "REQUEST_METHOD=", 15) && h.params[0][15] > ' ');
        assert(!strncmp(h.params[1], "REQUEST_URI=", 12) && h.params[1][12] > ' ');
        assert(!h.params[2]);
    }
    return 0;
}
