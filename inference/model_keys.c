/* model_keys.c - see model_keys.h. */
#include "inference/model_keys.h"

#include <stdio.h>

const char *key_name(const struct keys *k, const char *suffix, char buf[static MAX_KEY_BYTES])
{
    snprintf(buf, MAX_KEY_BYTES, "%s.%s", k->prefix, suffix);
    return buf;
}

int key_size(const struct keys *k, const char *suffix, bool required, size_t min, size_t max,
             size_t *out, struct err *e)
{
    char name[MAX_KEY_BYTES];
    uint64_t v = 0;
    int rc = weights_u64(k->w, key_name(k, suffix, name), &v, e);

    if (rc == ERR_NOTFOUND)
        return required ? err_set(e, ERR_FORMAT, "metadata key %s is missing", name) : 0;
    if (rc)
        return rc;
    if (v < min || v > max)
        return err_set(e, ERR_FORMAT, "metadata key %s is %llu, expected %zu to %zu", name,
                       (unsigned long long)v, min, max);
    *out = (size_t)v;
    return 0;
}

int key_real(const struct keys *k, const char *suffix, bool required, double min, double max,
             double *out, struct err *e)
{
    char name[MAX_KEY_BYTES];
    double v = 0;
    int rc = weights_f64(k->w, key_name(k, suffix, name), &v, e);

    if (rc == ERR_NOTFOUND)
        return required ? err_set(e, ERR_FORMAT, "metadata key %s is missing", name) : 0;
    if (rc)
        return rc;
    if (!(v >= min && v <= max)) /* NaN too */
        return err_set(e, ERR_FORMAT, "metadata key %s is %g, expected %g to %g", name, v, min,
                       max);
    *out = v;
    return 0;
}
