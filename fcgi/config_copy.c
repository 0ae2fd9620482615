/* config_copy.c - a configuration once more, whose models can be changed.
 *
 * What holds for the server as a whole only a new reading changes, so it stays where the reading
 * put it, however long the line of copies. */
#include "fcgi/config.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/config_keys.h"

/* *s becomes c's own; NULL stays. */
static bool keep(struct config *c, const char **s)
{
    if (*s)
        *s = arena_strndup(&c->storage, *s, strlen(*s));
    return *s != NULL;
}

/* The text in the field of that key; `base` holds it. */
static bool keep_field(struct config *c, void *base, const struct config_key *k)
{
    char *field = (char *)base + k->offset;
    const char *text;
    bool ok;

    memcpy(&text, field, sizeof text);
    if (!text)
        return true;
    ok = keep(c, &text);
    memcpy(field, &text, sizeof text);
    return ok;
}

static bool keep_model(struct config *c, struct model_config *m)
{
    bool ok = true;

    for (const struct config_key *k = config_keys; k->name; k++)
        if (k->of_model && config_key_is_text(k))
            ok = keep_field(c, m, k) && ok;
    if (m->name)
        ok = keep(c, &m->name) && ok;
    if (m->path)
        ok = keep(c, &m->path) && ok;
    return ok;
}

int config_copy(struct config **out, struct config *from, struct err *e)
{
    struct config *c = malloc(sizeof *c);
    bool ok = c != NULL;

    if (c) {
        *c = *from;
        arena_init(&c->storage, 0);
        atomic_init(&c->refs, 1);
        c->origin = from->origin ? from->origin : from;
        atomic_fetch_add(&c->origin->refs, 1);
    }
    for (size_t i = 0; ok && i < c->n_models; i++)
        ok = keep_model(c, &c->models[i]);
    if (!ok) {
        config_free(c);
        return err_set(e, ERR_NOMEM, "no memory for a copy of the configuration");
    }
    *out = c;
    return 0;
}
