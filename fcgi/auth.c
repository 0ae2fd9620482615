/* Keys are compared in full, every one of them, and wiped when freed; nothing here writes to the
 * log. */
#include "fcgi/auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct auth {
    char **keys; /* [n_keys] */
    size_t n_keys;
};

/* One line of the file.  Keys may hold blanks, but not begin or end with them. */
static bool add_key(struct auth *a, const char *line)
{
    size_t len;
    char **keys;

    line += strspn(line, " \t");
    len = strcspn(line, "\r\n");
    while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    if (!len || *line == '#')
        return true;
    keys = realloc(a->keys, (a->n_keys + 1) * sizeof *keys);
    if (!keys)
        return false;
    a->keys = keys;
    keys[a->n_keys] = strndup(line, len);
    return keys[a->n_keys] && ++a->n_keys;
}

int auth_open(struct auth **out, const char *path, struct err *e)
{
    struct auth *a = calloc(1, sizeof *a);
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    int rc = 0;

    if (!a)
        rc = err_set(e, ERR_NOMEM, "no memory for API keys");
    else if (!f)
        rc = err_set(e, ERR_IO, "cannot read API keys from %s: %s", path, strerror(errno));
    while (!rc && getline(&line, &cap, f) >= 0)
        if (!add_key(a, line))
            rc = err_set(e, ERR_NOMEM, "no memory for API keys");
    if (!rc && ferror(f))
        rc = err_set(e, ERR_IO, "cannot read API keys from %s: %s", path, strerror(errno));
    if (!rc && !a->n_keys)
        rc = err_set(e, ERR_INVALID, "%s: expected one API key a line, found none", path);
    if (line)
        explicit_bzero(line, cap);
    free(line);
    if (f)
        fclose(f);
    if (rc) {
        auth_free(a);
        return rc;
    }
    *out = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n_keys; i++) {
        explicit_bzero(a->keys[i], strlen(a->keys[i]));
        free(a->keys[i]);
    }
    free(a->keys);
    free(a);
}

/* 1 where the strings are the same, looking at every byte of `given` whatever it finds. */
static int same(const char *key, const char *given, size_t given_len)
{
    size_t key_len = strlen(key);
    size_t diff = key_len ^ given_len;

    for (size_t i = 0; i < given_len; i++)
        diff |= (size_t)(unsigned char)(given[i] ^ key[key_len ? i % key_len : 0]);
    return diff == 0;
}

/* The scheme's name is case-insensitive (RFC 9110 section 11.1). */
bool auth_check(const struct auth *a, const char *authorization)
{
    const char *key;
    size_t len;
    int found = 0;

    if (!authorization || strncasecmp(authorization, "Bearer ", 7))
        return false;
    key = authorization + 7 + strspn(authorization + 7, " ");
    len = strlen(key);
    while (len && key[len - 1] == ' ')
        len--;
    for (size_t i = 0; i < a->n_keys; i++)
        found |= same(a->keys[i], key, len);
    return found && len;
}
