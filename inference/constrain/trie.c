#include "inference/constrain/trie.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    const char *data;
    uint32_t len;
    int32_t id;
};

static int by_bytes(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int c = memcmp(x->data, y->data, len);

    if (c == 0)
        c = x->len < y->len ? -1 : x->len > y->len;
    return c ? c : x->id - y->id;
}

/* The tokens with text, sorted; *bytes is how many nodes they need at most. */
static size_t collect(struct entry *out, const struct trie_token *tokens, size_t n, size_t *bytes)
{
    size_t count = 0;

    *bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (tokens[i].len == 0 || tokens[i].len > TRIE_MAX_DEPTH)
            continue;
        out[count++] = (struct entry){ tokens[i].data, (uint32_t)tokens[i].len, (int32_t)i };
        *bytes += tokens[i].len;
    }
    qsort(out, count, sizeof *out, by_bytes);
    return count;
}

static size_t common(const struct entry *a, const struct entry *b)
{
    size_t n = 0;

    while (n < a->len && n < b->len && a->data[n] == b->data[n])
        n++;
    return n;
}

/* Sorted tokens give the nodes in order: what a token shares with the one before is there already.
 */
static void fill(struct trie *t, const struct entry *tokens, size_t n)
{
    uint32_t open[TRIE_MAX_DEPTH + 1]; /* the node at each depth */
    size_t depth = 0;

    t->n_nodes = 1;
    t->token[0] = -1;
    open[0] = 0;
    for (size_t i = 0; i < n; i++) {
        size_t shared = i ? common(&tokens[i - 1], &tokens[i]) : 0;

        for (; depth > shared; depth--)
            t->skip[open[depth]] = (uint32_t)t->n_nodes;
        if (i && shared == tokens[i].len) { /* the same bytes once more */
            t->same[tokens[i].id] = t->token[open[shared]];
            t->token[open[shared]] = tokens[i].id;
            continue;
        }
        while (depth < tokens[i].len) {
            uint32_t node = (uint32_t)t->n_nodes++;

            t->byte[node] = (uint8_t)tokens[i].data[depth];
            t->depth[node] = (uint8_t)++depth;
            t->token[node] = -1;
            open[depth] = node;
        }
        t->token[open[depth]] = tokens[i].id;
        if (depth > t->max_depth)
            t->max_depth = (unsigned)depth;
    }
    for (;; depth--) {
        t->skip[open[depth]] = (uint32_t)t->n_nodes;
        if (depth == 0)
            break;
    }
}

int trie_init(struct trie *t, const struct trie_token *tokens, size_t n_vocab, struct err *e)
{
    struct entry *sorted = calloc(n_vocab + 1, sizeof *sorted);
    size_t bytes = 0, count;

    *t = (struct trie){ .n_vocab = n_vocab };
    if (!sorted)
        return err_set(e, ERR_NOMEM, "no memory for a tree of %zu tokens", n_vocab);
    count = collect(sorted, tokens, n_vocab, &bytes);
    t->byte = calloc(bytes + 1, 1);
    t->depth = calloc(bytes + 1, 1);
    t->skip = calloc(bytes + 1, sizeof *t->skip);
    t->token = calloc(bytes + 1, sizeof *t->token);
    t->same = malloc((n_vocab + 1) * sizeof *t->same);
    if (!t->byte || !t->depth || !t->skip || !t->token || !t->same || bytes >= UINT32_MAX) {
        trie_done(t);
        free(sorted);
        return err_set(e, ERR_NOMEM, "no memory for a tree of %zu tokens, %zu bytes", n_vocab,
                       bytes);
    }
    memset(t->same, 0xff, (n_vocab + 1) * sizeof *t->same);
    fill(t, sorted, count);
    free(sorted);
    return 0;
}

void trie_done(struct trie *t)
{
    free(t->byte);
    free(t->depth);
    free(t->skip);
    free(t->token);
    free(t->same);
    *t = (struct trie){ 0 };
}
