#include "fetch/digest.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

struct digest {
    EVP_MD_CTX *ctx;
    bool git;
    size_t size;
};

static int refused(struct err *e)
{
    return err_set(e, ERR_INTERNAL, "libcrypto refuses to compute a hash");
}

int digest_restart(struct digest *d, struct err *e)
{
    char head[40];
    int n = snprintf(head, sizeof head, "blob %zu", d->size) + 1; /* its NUL counts */

    if (EVP_DigestInit_ex(d->ctx, d->git ? EVP_sha1() : EVP_sha256(), NULL) != 1)
        return refused(e);
    return d->git ? digest_put(d, head, (size_t)n, e) : 0;
}

int digest_create(struct digest **out, bool git, size_t size, struct err *e)
{
    struct digest *d = calloc(1, sizeof *d);
    int rc;

    *out = NULL;
    if (!d || !(d->ctx = EVP_MD_CTX_new())) {
        free(d);
        return err_set(e, ERR_NOMEM, "no memory for a hash");
    }
    d->git = git;
    d->size = size;
    rc = digest_restart(d, e);
    if (rc)
        digest_free(d);
    else
        *out = d;
    return rc;
}

void digest_free(struct digest *d)
{
    if (!d)
        return;
    EVP_MD_CTX_free(d->ctx);
    free(d);
}

int digest_put(struct digest *d, const void *bytes, size_t len, struct err *e)
{
    return EVP_DigestUpdate(d->ctx, bytes, len) == 1 ? 0 : refused(e);
}

int digest_end(struct digest *d, char hex[static DIGEST_HEX_BYTES], struct err *e)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (EVP_DigestFinal_ex(d->ctx, sum, &n) != 1 || 2 * n + 1 > DIGEST_HEX_BYTES)
        return refused(e);
    for (unsigned i = 0; i < n; i++) {
        hex[2 * i] = digits[sum[i] >> 4];
        hex[2 * i + 1] = digits[sum[i] & 15];
    }
    hex[2 * n] = '\0';
    return 0;
}
