/* The configuration file: any bytes, then what config_finish() makes of the result; and the lists
 * of addresses in it, asked about addresses made of the same bytes. */
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An IPv4 address is on a list in either of its forms or in none. */
static void ask(const struct allow *l, const uint8_t *data, size_t size)
{
    struct sockaddr_storage plain = { .ss_family = AF_INET }, mapped = { .ss_family = AF_INET6 };
    struct sockaddr_storage other = { .ss_family = AF_INET6 };
    struct sockaddr_in *v4 = (void *)&plain;
    struct sockaddr_in6 *v6 = (void *)&mapped, *v6_other = (void *)&other;

    if (!l || size < 16)
        return;
    memcpy(&v4->sin_addr, data, 4);
    v6->sin6_addr.s6_addr[10] = v6->sin6_addr.s6_addr[11] = 0xff;
    memcpy(v6->sin6_addr.s6_addr + 12, data, 4);
    memcpy(&v6_other->sin6_addr, data + size - 16, 16);
    if (allow_has(l, &plain) != allow_has(l, &mapped))
        abort();
    (void)allow_has(l, &other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config c;
    struct err e = { 0 };

    config_init(&c);
    if (!config_parse(&c, "fuzz", (const char *)data, size, &e) && !config_finish(&c, &e))
        e.code = 0;
    ask(c.listen_allow, data, size);
    ask(c.status_allow, data, size);
    config_done(&c);
    return 0;
}
