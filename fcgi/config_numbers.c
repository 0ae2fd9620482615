/* The kinds of values that are numbers, with their units. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "fcgi/config_keys.h"

enum { KB = 1024, MB = 1024 * KB };

/* Leading decimal digits of *s, which moves past them; false without any or past SIZE_MAX. */
static bool take_number(const char **s, size_t *out)
{
    size_t n = 0;

    if (!isdigit((unsigned char)**s))
        return false;
    for (; isdigit((unsigned char)**s); (*s)++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, **s - '0', &n))
            return false;
    *s += strspn(*s, " ");
    *out = n;
    return true;
}

struct unit {
    const char *name;
    size_t factor;
};

/* "10 MB" by a table of units that ends with a NULL name. */
static bool take_units(const char *s, const struct unit *units, size_t *out)
{
    if (!take_number(&s, out))
        return false;
    for (; units->name; units++)
        if (!strcasecmp(units->name, s))
            return !__builtin_mul_overflow(*out, units->factor, out);
    return false;
}

/* A percentage is of the machine's memory, as Takeoff counts its page cache. */
static bool take_bytes(const char *s, size_t *out)
{
    static const struct unit units[] = {
        { "", 1 },          { "b", 1 },          { "k", KB },          { "kb", KB },
        { "kib", KB },      { "m", MB },         { "mb", MB },         { "mib", MB },
        { "g", 1024 * MB }, { "gb", 1024 * MB }, { "gib", 1024 * MB }, { NULL, 0 }
    };
    const char *end = s;

    if (take_number(&end, out) && !strcmp(end, "%") && *out <= 100) {
        size_t pages = (size_t)sysconf(_SC_PHYS_PAGES), page = (size_t)sysconf(_SC_PAGESIZE);

        *out = pages / 100 * *out * page;
        return true;
    }
    return take_units(s, units, out);
}

static bool take_duration(const char *s, size_t *out)
{
    static const struct unit units[] = {
        { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { NULL, 0 },
    };

    return take_units(s, units, out);
}

static bool take_octal(const char *s, size_t *out)
{
    char *end;

    if (!*s || s[strspn(s, "01234567")] || strlen(s) > 6)
        return false;
    *out = strtoul(s, &end, 8);
    return true;
}

/* A plain decimal number such as 0.7; no exponent, no sign, as none of the keys needs one. */
int config_set_real(const struct config_key *k, void *field, const char *value, struct err *e)
{
    bool plain = *value && !value[strspn(value, "0123456789.")] && strlen(value) < 32;
    char *end = NULL;
    float x = plain ? strtof(value, &end) : 0;

    if (!plain || *end || x < (float)k->min || x > (float)k->max)
        return err_param(e, k->name, ERR_INVALID,
                         "%s: expected a number from %zu to %zu, found \"%.80s\"", k->name, k->min,
                         k->max, value);
    memcpy(field, &x, sizeof x);
    return 0;
}

int config_set_number(const struct config_key *k, void *field, const char *value, struct err *e)
{
    static const char *const expected[] = {
        [KEY_COUNT] = "a whole number",
        [KEY_BYTES] = "a size such as 512KB, 10MB or 5GB",
        [KEY_DURATION] = "a time such as 500ms, 30s, 2m or 1h",
        [KEY_OCTAL] = "an octal file mode such as 0660",
    };
    const char *end = value;
    size_t n = 0;
    bool ok;

    switch (k->kind) {
    case KEY_BYTES:
        ok = take_bytes(value, &n);
        break;
    case KEY_DURATION:
        ok = take_duration(value, &n);
        break;
    case KEY_OCTAL:
        ok = take_octal(value, &n);
        break;
    default:
        ok = take_number(&end, &n) && !*end;
    }
    if (!ok)
        return err_param(e, k->name, ERR_INVALID, "%s: expected %s, found \"%.80s\"", k->name,
                         expected[k->kind], value);
    if (n < k->min || n > k->max)
        return err_param(e, k->name, ERR_INVALID, "%s: expected %zu to %zu%s, found \"%.80s\"",
                         k->name, k->min, k->max,
                         k->kind == KEY_BYTES      ? " bytes"
                         : k->kind == KEY_DURATION ? " ms"
                                                   : "",
                         value);
    memcpy(field, &n, sizeof n);
    return 0;
}
