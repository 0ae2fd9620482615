/* Line and key go different ways, so that `airstrip --make-key alice >>keys` keeps the one and
 * shows the other once.  A key is never taken from the command line, where everybody could read it.
 */
#include "fcgi/make_key.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/auth.h"
#include "fcgi/secret.h"

enum { LINE_BYTES = 1024 };

static int read_key(char key[LINE_BYTES], struct err *e)
{
    if (!fgets(key, LINE_BYTES, stdin))
        return err_set(e, ERR_IO, "expected the key on standard input, found nothing");
    key[strcspn(key, "\r\n")] = '\0';
    return 0;
}

int make_key(const char *name, bool fresh, struct err *e)
{
    char key[LINE_BYTES], text[SECRET_TEXT_BYTES];
    struct secret s;
    int rc;

    if (!auth_is_name(name))
        return err_set(e, ERR_INVALID,
                       "expected a key's name of up to %d letters, digits and . _ @ -, found "
                       "\"%.80s\"",
                       AUTH_NAME_BYTES - 1, name);
    rc = fresh ? secret_draw(key, e) : read_key(key, e);
    if (!rc)
        rc = secret_make(&s, key, e);
    if (!rc) {
        secret_write(&s, text);
        printf("%s %s\n", name, text);
        if (fflush(stdout))
            rc = err_set(e, ERR_IO, "cannot write to standard output");
    }
    if (!rc && fresh)
        fprintf(stderr, "The key of %s, shown this once: %s\n", name, key);
    explicit_bzero(key, sizeof key);
    return rc;
}
