/* airstrip-probe SUBCOMMAND [ARGUMENT...]: for tests, which compare its output with references. */
#include "tools/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *arguments;
    int (*run)(int argc, char **argv, struct err *e);
} subcommands[] = {
    { "constrain", "MODEL <lines >lines", probe_constrain },
    { "dequant", "TYPE <blocks >float32", probe_dequant },
    { "embed", "MODEL <requests >answers", probe_embed },
    { "logits", "MODEL <requests >answers", probe_logits },
    { "render", "<requests >texts", probe_render },
    { "tokenize", "MODEL <lines >lines", probe_tokenize },
    { "detokenize", "MODEL <lines >lines", probe_detokenize },
};

enum { N_SUBCOMMANDS = sizeof subcommands / sizeof subcommands[0] };

static int usage(void)
{
    for (size_t i = 0; i < N_SUBCOMMANDS; i++)
        fprintf(stderr, "%s airstrip-probe %s %s\n", i == 0 ? "usage:" : "      ",
                subcommands[i].name, subcommands[i].arguments);
    return 2;
}

int main(int argc, char **argv)
{
    struct err e = { .code = 0 };

    for (size_t i = 0; argc > 1 && i < N_SUBCOMMANDS; i++) {
        int rc;

        if (strcmp(argv[1], subcommands[i].name) != 0)
            continue;
        rc = subcommands[i].run(argc - 1, argv + 1, &e);
        /* Output that did not arrive is a failure too: a full disk must not look like a pass. */
        if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
            rc = err_set(&e, ERR_IO, "cannot write to standard output: %s", strerror(errno));
        if (rc == 0)
            return 0;
        fprintf(stderr, "airstrip-probe %s: %s\n", argv[1], e.text);
        return rc == ERR_INVALID ? 2 : 1;
    }
    return usage();
}
