#include "inference/text/charsmap.h"

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct charsmap {
    uint32_t *units;
    size_t n_units;
    char *texts;
    size_t n_texts; /* bytes; the last is a NUL */
};

int charsmap_create(struct charsmap **out, const void *data, size_t len, struct err *e)
{
    struct charsmap *m;
    const char *bytes = data;
    uint32_t table = 0;

    *out = NULL;
    if (len > 0) {
        if (len > sizeof table)
            memcpy(&table, bytes, sizeof table);
        table = le32toh(table);
        if (len <= sizeof table || table % 4 || table >= len - sizeof table ||
            bytes[len - 1] != '\0')
            return err_set(e, ERR_FORMAT,
                           "precompiled_charsmap: %zu bytes are not a table and texts", len);
    }
    m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ERR_NOMEM, "no memory for a normalizer");
    m->n_units = table / 4;
    m->n_texts = len ? len - sizeof table - table : 0;
    m->units = malloc(table + 1);
    m->texts = malloc(m->n_texts + 1);
    if (!m->units || !m->texts) {
        charsmap_free(m);
        return err_set(e, ERR_NOMEM, "no memory for a normalizer of %zu bytes", len);
    }
    if (len > 0) {
        memcpy(m->units, bytes + sizeof table, table);
        memcpy(m->texts, bytes + sizeof table + table, m->n_texts);
    }
    for (size_t i = 0; i < m->n_units; i++)
        m->units[i] = le32toh(m->units[i]);
    *out = m;
    return 0;
}

void charsmap_free(struct charsmap *m)
{
    if (!m)
        return;
    free(m->units);
    free(m->texts);
    free(m);
}

static size_t children_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

size_t charsmap_match(const struct charsmap *m, const char *text, size_t len, bool longest,
                      struct str *to)
{
    size_t used = 0, at = m->n_units ? children_of(m->units[0]) : 0;

    for (size_t i = 0; i < len && text[i]; i++) {
        uint32_t unit, value;

        at ^= (unsigned char)text[i];
        if (at >= m->n_units)
            break; /* a damaged table leads anywhere */
        unit = m->units[at];
        if ((unit & (1u << 31 | 0xff)) != (unsigned char)text[i])
            break;
        at ^= children_of(unit);
        if (!(unit >> 8 & 1) || at >= m->n_units)
            continue;
        value = m->units[at] & 0x7fffffff;
        if (value >= m->n_texts)
            continue;
        used = i + 1;
        *to = (struct str){ m->texts + value, strlen(m->texts + value) };
        if (!longest)
            break;
    }
    return used;
}
