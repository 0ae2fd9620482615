#include "fcgi/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define PREFIX     "$hmac-sha256$"
#define KEY_PREFIX "sk-airstrip-"

enum { KEY_CHARS = 43 }; /* of 64 kinds: 258 bits */

static int random_bytes(void *to, size_t len, struct err *e)
{
    if (getrandom(to, len, 0) != (ssize_t)len)
        return err_set(e, ERR_IO, "the system gave no random bytes");
    return 0;
}

int secret_draw(char key[static SECRET_KEY_BYTES], struct err *e)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char random[KEY_CHARS];
    char *to = key + sizeof KEY_PREFIX - 1;
    int rc = random_bytes(random, sizeof random, e);

    if (rc)
        return rc;
    strcpy(key, KEY_PREFIX);
    for (size_t i = 0; i < KEY_CHARS; i++)
        *to++ = digits[random[i] % 64]; /* even, since 64 divides 256 */
    *to = '\0';
    OPENSSL_cleanse(random, sizeof random);
    return 0;
}

static bool hash(const struct secret *s, const char *key, size_t len,
                 unsigned char out[SECRET_HASH_BYTES])
{
    unsigned int n = 0;

    return HMAC(EVP_sha256(), s->salt, sizeof s->salt, (const unsigned char *)key, len, out, &n) &&
           n == SECRET_HASH_BYTES;
}

int secret_make(struct secret *s, const char *key, struct err *e)
{
    size_t len = strlen(key);
    int rc;

    if (len < SECRET_MIN_BYTES)
        return err_set(e, ERR_INVALID, "expected a key of at least %d characters, found %zu",
                       SECRET_MIN_BYTES, len);
    for (const char *p = key; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return err_set(e, ERR_INVALID, "expected a key without blanks or control characters");
    rc = random_bytes(s->salt, sizeof s->salt, e);
    if (rc)
        return rc;
    return hash(s, key, len, s->hash) ? 0 : err_set(e, ERR_INTERNAL, "libcrypto has no SHA-256");
}

bool secret_is(const struct secret *s, const char *key, size_t len)
{
    unsigned char found[SECRET_HASH_BYTES];

    return hash(s, key, len, found) && !CRYPTO_memcmp(found, s->hash, sizeof found);
}

static char *write_hex(char *to, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to += sprintf(to, "%02x", bytes[i]);
    return to;
}

void secret_thread_end(void)
{
    OPENSSL_thread_stop();
}

void secret_write(const struct secret *s, char out[static SECRET_TEXT_BYTES])
{
    char *to = stpcpy(out, PREFIX);

    to = write_hex(to, s->salt, sizeof s->salt);
    *to++ = '$';
    write_hex(to, s->hash, sizeof s->hash);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL where 2 n digits do not follow. */
static const char *read_hex(const char *from, unsigned char *bytes, size_t n)
{
    for (size_t i = 0; from && i < n; i++, from += 2) {
        int high = digit(from[0]), low = high < 0 ? -1 : digit(from[1]);

        if (low < 0)
            return NULL;
        bytes[i] = (unsigned char)(high * 16 + low);
    }
    return from;
}

bool secret_read(struct secret *s, const char *text)
{
    if (strncmp(text, PREFIX, sizeof PREFIX - 1))
        return false;
    text = read_hex(text + sizeof PREFIX - 1, s->salt, sizeof s->salt);
    if (!text || *text != '$')
        return false;
    text = read_hex(text + 1, s->hash, sizeof s->hash);
    return text && !*text;
}
