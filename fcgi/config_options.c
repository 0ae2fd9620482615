/* The command line: every key of the table as --key VALUE or --key=VALUE, and a few words of its
 * own. */
#include "fcgi/config.h"

#include <string.h>

#include "fcgi/config_keys.h"

enum { NAME_MAX_BYTES = 64 };

struct option {
    char name[NAME_MAX_BYTES]; /* without the dashes, '-' turned into '_' */
    const char *value;         /* NULL: none */
};

/* Takes the option at argv[*i] and, where it needs one, its value from the next argument. */
static int take(int argc, char *const *argv, int *i, struct option *o, struct err *e)
{
    static const char *const alone[] = { "check", "help", "version" };
    const char *arg = argv[*i], *equals;
    size_t len;

    if (!strcmp(arg, "-h"))
        arg = "--help";
    if (strncmp(arg, "--", 2) || !arg[2])
        return err_set(e, ERR_INVALID, "expected an option such as --model, found \"%.80s\"", arg);
    arg += 2;
    equals = strchr(arg, '=');
    len = equals ? (size_t)(equals - arg) : strlen(arg);
    if (len >= sizeof o->name)
        return err_set(e, ERR_INVALID, "unknown option --%.80s", arg);
    memcpy(o->name, arg, len);
    o->name[len] = '\0';
    for (char *p = o->name; *p; p++)
        if (*p == '-')
            *p = '_';
    o->value = equals ? equals + 1 : NULL;
    for (size_t k = 0; k < sizeof alone / sizeof *alone; k++)
        if (!strcmp(o->name, alone[k]))
            return o->value ? err_set(e, ERR_INVALID, "--%s takes no value", alone[k]) : 0;
    if (!o->value) {
        if (++*i >= argc)
            return err_set(e, ERR_INVALID, "--%.*s: expected a value, found none", (int)len, arg);
        o->value = argv[*i];
    }
    return 0;
}

static bool is_group(const char *name)
{
    return !strcmp(name, "name") || !strcmp(name, "consumer_group");
}

static int unknown_option(const char *name, struct err *e)
{
    const char *nearest = config_nearest(name);
    char dashed[NAME_MAX_BYTES] = "";

    for (size_t i = 0; nearest && nearest[i]; i++) {
        dashed[i] = nearest[i] == '_' ? '-' : nearest[i];
        dashed[i + 1] = '\0';
    }
    if (nearest)
        return err_set(e, ERR_INVALID, "unknown option --%s; did you mean --%s?", name, dashed);
    return err_set(e, ERR_INVALID, "unknown option --%s; --help lists them all", name);
}

/* The options that are known before any file is read.  All options are walked twice: the file that
 * they may name is weaker than they are, and is read in between. */
static void apply_early(struct config *c, const struct option *o, enum config_action *action)
{
    if (!strcmp(o->name, "config"))
        c->file = o->value;
    else if (!strcmp(o->name, "takeoff_manifest"))
        c->takeoff_manifest = o->value;
    else if (!strcmp(o->name, "check"))
        c->check = true;
    else if (!strcmp(o->name, "help"))
        *action = CONFIG_HELP;
    else if (!strcmp(o->name, "version"))
        *action = CONFIG_VERSION;
    else if (!strcmp(o->name, "make_key") || !strcmp(o->name, "hash_key")) {
        *action = *o->name == 'm' ? CONFIG_MAKE_KEY : CONFIG_HASH_KEY;
        c->key_name = o->value;
    }
}

static bool is_early(const char *name)
{
    return !strcmp(name, "config") || !strcmp(name, "check") || !strcmp(name, "help") ||
           !strcmp(name, "version") || !strcmp(name, "make_key") || !strcmp(name, "hash_key");
}

int config_options(struct config *c, int argc, char *const *argv, bool file_only,
                   enum config_action *action, struct err *e)
{
    struct option o;
    int rc;

    *action = CONFIG_RUN;
    for (int i = 1; i < argc; i++) {
        rc = take(argc, argv, &i, &o, e);
        if (rc)
            return rc;
        apply_early(c, &o, action);
        if (is_group(o.name))
            c->group = o.value;
    }
    /* `model` goes first, so that keys without a group find the model it makes. */
    for (int pass = 0; !file_only && pass < 2; pass++)
        for (int i = 1; i < argc; i++) {
            const struct config_key *k;

            rc = take(argc, argv, &i, &o, e);
            if (rc)
                return rc;
            if (is_early(o.name) || is_group(o.name))
                continue;
            k = config_key(o.name);
            if (!k)
                return unknown_option(o.name, e);
            if ((k == config_key("model")) != (pass == 0))
                continue;
            rc = config_set_for(c, c->group, k, o.value, e);
            if (rc) {
                err_prefix(e, "command line: ");
                return rc;
            }
        }
    return 0;
}
