/* Any bytes as a schema, a regular expression or a GBNF grammar (by the first byte): refused with a
 * sentence, or a grammar within whose masks a text can be generated. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inference/constrain/constraint.h"
#include "inference/constrain/spec.h"
#include "kernels/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_NODES = 20000, MAX_STEPS = 40 };

static const struct trie_token TOKENS[] = {
    { "{", 1 },    { "}", 1 },  { "[", 1 },   { "]", 1 },    { "\"", 1 },   { "\":", 2 },
    { ", \"", 3 }, { "a", 1 },  { "abc", 3 }, { "\xc3", 1 }, { "\xa9", 1 }, { "0", 1 },
    { "12", 2 },   { "-", 1 },  { ".5", 2 },  { " ", 1 },    { "\n", 1 },   { "true", 4 },
    { "null", 4 }, { "\\", 1 }, { "n", 1 },
};

enum { N_TOKENS = sizeof TOKENS / sizeof *TOKENS };

/* Goes on with one token of the mask after the other, as the input's bytes say. */
static void generate(struct constraint *c, const uint8_t *data, size_t size)
{
    int32_t at = constraint_start(c);
    uint64_t mask;

    for (size_t i = 0; i < MAX_STEPS; i++) {
        int n = constraint_mask(c, at, &mask);
        size_t token = size ? data[i % size] % N_TOKENS : 0;

        if (n == MATCH_FAILED)
            return;
        if (n == 0)
            return; /* the end, or bytes that no token has */
        while (!(mask >> token & 1))
            token = (token + 1) % N_TOKENS;
        at = constraint_accept(c, at, TOKENS[token].data, TOKENS[token].len);
        if (at == MATCH_FAILED)
            return;
        if (at < 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct trie trie;
    struct spec spec = { .kind = SPEC_SCHEMA };
    struct constraint *c = NULL;
    struct grammar g;
    struct arena arena;
    struct value *v;
    struct err e = { 0 };
    int32_t root;
    int rc;

    if (!trie.n_nodes &&
        (trie_init(&trie, TOKENS, N_TOKENS, &e) || trie_slice(&trie, TOKENS, 4, &e)))
        abort();
    if (size == 0)
        return 0;
    arena_init(&arena, 4 << 20);
    grammar_init(&g, MAX_NODES);
    if (data[0] == 'r' || data[0] == 'g') {
        spec.kind = data[0] == 'r' ? SPEC_REGEX : SPEC_GBNF;
        spec.text = (const char *)data + 1;
        spec.len = size - 1;
        rc = spec_grammar(&g, &spec, &root, &e);
    } else {
        rc = json_parse((const char *)data, size, 60, &arena, &v, &e);
        spec.value = rc ? NULL : v;
        rc = rc ? rc : spec_grammar(&g, &spec, &root, &e);
    }
    if (rc == 0)
        rc = constraint_create(&c, &g, root, &trie, &e);
    if (rc ? rc != e.code || !e.text[0] : !c)
        abort();
    if (rc == 0)
        generate(c, data, size);
    constraint_free(c);
    grammar_done(&g);
    arena_done(&arena);
    return 0;
}
