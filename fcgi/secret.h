/* secret.h - API keys as the file of keys holds them: salted and hashed, never as they are.
 *
 * HMAC-SHA-256 of the key under 16 random bytes of salt, by libcrypto.  A key that `make` draws has
 * 256 random bits, which no slower function would make harder to find, and every request is checked
 * against every key; what a person thought up is refused for being too short.  Any thread. */
#ifndef AIRSTRIP_SECRET_H
#define AIRSTRIP_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/err.h"

enum {
    SECRET_SALT_BYTES = 16,
    SECRET_HASH_BYTES = 32,
    SECRET_MIN_BYTES = 24,  /* of a key that was not drawn here */
    SECRET_KEY_BYTES = 56,  /* room for one that was */
    SECRET_TEXT_BYTES = 128 /* room for secret_write() */
};

struct secret {
    unsigned char salt[SECRET_SALT_BYTES], hash[SECRET_HASH_BYTES];
};

/* A fresh random key: "sk-airstrip-" and 43 characters.  ERR_IO where the system has no random
 * bytes. */
int secret_draw(char key[static SECRET_KEY_BYTES], struct err *e) MUST_CHECK;

/* Under a fresh salt.  ERR_INVALID for a key that is too short or has control characters, ERR_IO,
 * ERR_INTERNAL. */
int secret_make(struct secret *s, const char *key, struct err *e) MUST_CHECK;

/* Whether key is the one, in a time that depends on its length only. */
bool secret_is(const struct secret *s, const char *key, size_t len);

/* The calling thread is about to end: what libcrypto keeps for it is freed now, not some time while
 * the process may be ending already. */
void secret_thread_end(void);

/* "$hmac-sha256$SALT$HASH" in hexadecimal digits, and back; false for anything else. */
void secret_write(const struct secret *s, char out[static SECRET_TEXT_BYTES]);
bool secret_read(struct secret *s, const char *text);

#endif
