/* utf8_step.h - one step through bytes that may not be UTF-8, or not yet.  Any thread. */
#ifndef AIRSTRIP_UTF8_STEP_H
#define AIRSTRIP_UTF8_STEP_H

#include <stddef.h>

/* What stands at s[0 .. n), n > 0 (Unicode 15, table 3-7 and section 3.9):
 *   k > 0: a well-formed character of k bytes;
 *   0:     the beginning of one, and the bytes end before it does;
 *   -k:    a maximal ill-formed part of k bytes, to be shown as one U+FFFD. */
static inline int utf8_step(const char *s, size_t n)
{
    const unsigned char *b = (const unsigned char *)s;
    unsigned char low = 0x80, high = 0xbf; /* what the second byte may be */
    int need;

    if (b[0] < 0x80)
        return 1;
    if (b[0] < 0xc2 || b[0] > 0xf4)
        return -1;
    need = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if (b[0] == 0xe0)
        low = 0xa0; /* no overlong forms, */
    else if (b[0] == 0xed)
        high = 0x9f; /* no surrogates, */
    else if (b[0] == 0xf0)
        low = 0x90;
    else if (b[0] == 0xf4)
        high = 0x8f; /* nothing above U+10FFFF */
    for (int i = 1; i < need; i++) {
        if ((size_t)i == n)
            return 0;
        if (b[i] < low || b[i] > high)
            return -i;
        low = 0x80;
        high = 0xbf;
    }
    return need;
}

#endif
