/* The configuration file:
 *
 *   # a comment
 *   log_level = info               outside a section: the server, or what holds for every model
 *   [model primary]                a model; NAME is its consumer group
 *   model = "/srv/a model.gguf"    quotes where a value has " #" or blanks at its ends; \" and
 * \\ in them
 */
#include "fcgi/config.h"

#include <stdint.h>
#include <string.h>

#include "fcgi/config_keys.h"

enum { LINE_MAX_BYTES = 64 * 1024 };

struct parser {
    struct config *config;
    const char *name; /* of the file */
    size_t line;
    struct model_config *model; /* section; NULL before the first */
    uint64_t seen[2];           /* keys set in this section: the server's, models' */
    const struct model_config *sections[CONFIG_MAX_MODELS];
    size_t n_sections;
};

/* Cuts blanks off both ends, in place. */
static char *trim(char *s)
{
    size_t len;

    s += strspn(s, " \t\r");
    len = strlen(s);
    while (len && strchr(" \t\r", s[len - 1]))
        len--;
    s[len] = '\0';
    return s;
}

/* Ends s at a '#' that begins a comment: one at the start or after a blank, outside quotes. */
static void cut_comment(char *s)
{
    bool quoted = false;

    for (char *p = s; *p; p++) {
        if (*p == '\\' && quoted && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (*p == '#' && !quoted && (p == s || p[-1] == ' ' || p[-1] == '\t')) {
            *p = '\0';
            return;
        }
    }
}

/* Takes the quotes off "..." in place, with \" and \\ resolved. */
static int unquote(char *s, struct err *e)
{
    char *from = s + 1, *to = s;

    for (; *from && *from != '"'; *to++ = *from++)
        if (*from == '\\' && (from[1] == '"' || from[1] == '\\'))
            from++;
    if (*from != '"' || from[1])
        return err_set(e, ERR_FORMAT, "expected one closing quote at the end of the value");
    *to = '\0';
    return 0;
}

static int parse_section(struct parser *p, char *s, struct err *e)
{
    size_t len = strlen(s);
    char *name;
    int rc;

    if (s[len - 1] != ']')
        return err_set(e, ERR_FORMAT, "expected ']' at the end of the line, found \"%.80s\"", s);
    s[len - 1] = '\0';
    name = trim(s + 1);
    if (strncmp(name, "model", 5) || (name[5] && !strchr(" \t\"", name[5])))
        return err_set(e, ERR_FORMAT, "expected [model NAME], found [%.80s]", name);
    name = trim(name + 5);
    if (*name == '"') {
        rc = unquote(name, e);
        if (rc)
            return rc;
    }
    rc = config_model(p->config, *name ? name : "primary", &p->model, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < p->n_sections; i++)
        if (p->sections[i] == p->model)
            return err_set(e, ERR_FORMAT, "a second section for model \"%s\"", p->model->name);
    p->sections[p->n_sections++] = p->model;
    memset(p->seen, 0, sizeof p->seen);
    return 0;
}

static int unknown_key(const char *name, struct err *e)
{
    const char *nearest = config_nearest(name);

    if (nearest)
        return err_set(e, ERR_INVALID, "unknown key \"%.80s\"; did you mean \"%s\"?", name,
                       nearest);
    return err_set(e, ERR_INVALID, "unknown key \"%.80s\"", name);
}

static int parse_pair(struct parser *p, char *s, struct err *e)
{
    char *equals = strchr(s, '='), *value;
    const struct config_key *k;
    uint64_t *seen;
    int rc;

    if (!equals)
        return err_set(e, ERR_FORMAT, "expected KEY = VALUE or [model NAME], found \"%.80s\"", s);
    *equals = '\0';
    s = trim(s);
    value = trim(equals + 1);
    k = config_key(s);
    if (!k)
        return unknown_key(s, e);
    if (p->model && !k->of_model)
        return err_set(e, ERR_INVALID, "%s belongs above the first [model] section", k->name);
    seen = &p->seen[k->of_model];
    if (*seen & config_bit(k))
        return err_set(e, ERR_INVALID, "%s is set a second time", k->name);
    *seen |= config_bit(k);
    if (p->seen[true] & config_bit(config_key("chat_template")) &&
        p->seen[true] & config_bit(config_key("chat_template_file")))
        return err_set(e, ERR_INVALID, "chat_template and chat_template_file are both set");
    if (*value == '"') {
        rc = unquote(value, e);
        if (rc)
            return rc;
    }
    return config_set_for(p->config, p->model ? p->model->name : NULL, k, value, e);
}

int config_parse(struct config *c, const char *name, const char *text, size_t len, struct err *e)
{
    struct parser p = { .config = c, .name = name };
    const char *end = text + len;
    struct buf line = { .limit = LINE_MAX_BYTES };
    int rc = 0;

    for (const char *eol; !rc && text < end; text = eol + 1) {
        char *s;

        eol = memchr(text, '\n', (size_t)(end - text));
        if (!eol)
            eol = end;
        p.line++;
        buf_reset(&line);
        buf_put(&line, text, (size_t)(eol - text));
        if (line.failed && (size_t)(eol - text) <= LINE_MAX_BYTES) {
            rc = err_set(e, ERR_NOMEM, "no memory for a line");
        } else if (line.failed) {
            rc = err_set(e, ERR_FORMAT, "expected a line of at most %d bytes", LINE_MAX_BYTES);
        } else if (line.len && memchr(line.data, 0, line.len)) {
            rc = err_set(e, ERR_FORMAT, "expected text, found a zero byte");
        } else if (line.data) {
            cut_comment(line.data);
            s = trim(line.data);
            if (*s)
                rc = *s == '[' ? parse_section(&p, s, e) : parse_pair(&p, s, e);
        }
        if (rc)
            err_prefix(e, "%s:%zu: ", name, p.line);
        if (eol == end)
            break;
    }
    buf_done(&line);
    return rc;
}
