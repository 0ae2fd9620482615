/* crc32.h - the checksum of zlib's crc32(): whether bytes arrived as they were sent.  Any thread.
 */
#ifndef AIRSTRIP_CRC32_H
#define AIRSTRIP_CRC32_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t crc32_of(const char *bytes, size_t len)
{
    uint32_t c = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        c ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0xedb88320U : c >> 1;
    }
    return ~c;
}

#endif
