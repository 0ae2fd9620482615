/* A key given is hashed for every key there is, so that the time tells nothing; a thousand keys
 * cost about a millisecond. */
#include "fcgi/auth.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct auth {
    struct auth_key *keys; /* [n_keys] */
    size_t n_keys;
};

bool auth_is_name(const char *s)
{
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-");

    return len && !s[len] && len < AUTH_NAME_BYTES;
}

static int take_number(const char *name, const char *value, size_t *out, struct err *e)
{
    char *end;

    errno = 0;
    *out = strtoul(value, &end, 10);
    if (!*value || value[strspn(value, "0123456789")] || errno || *out == 0 || *out > INT32_MAX)
        return err_set(e, ERR_FORMAT, "%s: expected a whole number above 0, found \"%.40s\"", name,
                       value);
    return 0;
}

static int take_option(struct auth_key *k, char *word, struct err *e)
{
    char *value = strchr(word, '=');

    if (value)
        *value++ = '\0';
    if (!value || !*value)
        return err_set(e, ERR_FORMAT, "expected OPTION=VALUE after the hash, found \"%.40s\"",
                       word);
    if (!strcmp(word, "concurrency"))
        return take_number(word, value, &k->rule.concurrency, e);
    if (!strcmp(word, "requests_per_minute"))
        return take_number(word, value, &k->rule.requests_per_minute, e);
    if (!strcmp(word, "tokens_per_minute"))
        return take_number(word, value, &k->rule.tokens_per_minute, e);
    if (!strcmp(word, "manage")) {
        k->manage = !strcmp(value, "yes");
        return k->manage ? 0
                         : err_set(e, ERR_FORMAT, "manage: expected yes, found \"%.40s\"", value);
    }
    if (strcmp(word, "models"))
        return err_set(e, ERR_FORMAT,
                       "expected models, concurrency, requests_per_minute, tokens_per_minute or "
                       "manage, found \"%.40s\"",
                       word);
    free(k->models);
    k->models = strdup(value);
    return k->models ? 0 : err_set(e, ERR_NOMEM, "no memory for API keys");
}

/* What is wrong is told without the words found: a line may hold a key by mistake. */
static int take_line(struct auth *a, struct auth_key *k, char *line, struct err *e)
{
    char *rest = NULL, *name = strtok_r(line, " \t\r\n", &rest);
    char *hash = strtok_r(NULL, " \t\r\n", &rest), *word;
    int rc = 0;

    if (!hash || !auth_is_name(name) || !secret_read(&k->secret, hash))
        return err_set(e, ERR_FORMAT,
                       "expected NAME HASH [OPTION=VALUE]..., as airstrip --make-key NAME prints "
                       "it, found something else (keys themselves do not belong here)");
    for (size_t i = 0; i < a->n_keys; i++)
        if (!strcmp(a->keys[i].name, name))
            return err_set(e, ERR_FORMAT, "a second key called \"%s\"", name);
    strcpy(k->name, name);
    while (!rc && (word = strtok_r(NULL, " \t\r\n", &rest)))
        rc = take_option(k, word, e);
    return rc;
}

static int add_key(struct auth *a, char *line, struct err *e)
{
    struct auth_key *keys, *k;
    int rc;

    line += strspn(line, " \t\r\n");
    if (!*line || *line == '#')
        return 0;
    keys = realloc(a->keys, (a->n_keys + 1) * sizeof *keys);
    if (!keys)
        return err_set(e, ERR_NOMEM, "no memory for API keys");
    a->keys = keys;
    k = &keys[a->n_keys];
    memset(k, 0, sizeof *k);
    rc = take_line(a, k, line, e);
    if (rc)
        free(k->models);
    else
        a->n_keys++;
    return rc;
}

int auth_open(struct auth **out, const char *path, struct err *e)
{
    struct auth *a = calloc(1, sizeof *a);
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0, n = 0;
    int rc = 0;

    if (!a)
        rc = err_set(e, ERR_NOMEM, "no memory for API keys");
    else if (!f)
        rc = err_set(e, ERR_IO, "cannot read API keys from %s: %s", path, strerror(errno));
    while (!rc && getline(&line, &cap, f) >= 0) {
        n++;
        rc = add_key(a, line, e);
        if (rc)
            err_prefix(e, "%s:%zu: ", path, n);
    }
    if (!rc && !feof(f)) /* an error, or no memory for a line */
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
    for (size_t i = 0; i < a->n_keys; i++)
        free(a->keys[i].models);
    free(a->keys);
    free(a);
}

/* The scheme's name is case-insensitive (RFC 9110 section 11.1). */
const struct auth_key *auth_check(const struct auth *a, const char *authorization)
{
    const struct auth_key *found = NULL;
    const char *key;
    size_t len;

    if (!authorization || strncasecmp(authorization, "Bearer ", 7))
        return NULL;
    key = authorization + 7 + strspn(authorization + 7, " ");
    len = strlen(key);
    while (len && key[len - 1] == ' ')
        len--;
    for (size_t i = 0; i < a->n_keys; i++)
        found = secret_is(&a->keys[i].secret, key, len) ? &a->keys[i] : found;
    return found;
}

bool auth_allows(const struct auth_key *k, const char *model)
{
    size_t len = strlen(model), n;

    if (!k->models)
        return true;
    for (const char *p = k->models; *p; p += n) {
        p += strspn(p, ",");
        n = strcspn(p, ",");
        if (n && n == len && !memcmp(p, model, n))
            return true;
    }
    return false;
}
