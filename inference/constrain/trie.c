#include "inference/constrain/trie.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

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
            t->token[open[shared]] = tokens[i].id | TRIE_MORE;
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
    t->same = calloc(n_vocab + 1, sizeof *t->same);
    if (!t->byte || !t->depth || !t->skip || !t->token || !t->same || bytes >= UINT32_MAX ||
        n_vocab >= TRIE_MORE) {
        trie_done(t);
        free(sorted);
        return err_set(e, ERR_NOMEM, "no memory for a tree of %zu tokens, %zu bytes", n_vocab,
                       bytes);
    }
    fill(t, sorted, count);
    free(sorted);
    return 0;
}

/* Is it well-formed text without quotes, backslashes and control characters? */
static bool is_plain(const struct trie_token *t, size_t most)
{
    size_t chars = 0, n;
    uint32_t cp;

    for (size_t i = 0; i < t->len; i += n, chars++) {
        n = utf8_decode(t->data + i, t->len - i, &cp);
        if (n == 0 || cp < 0x20 || cp == '"' || cp == '\\' || chars == most)
            return false;
    }
    return t->len > 0 && t->len <= TRIE_MAX_DEPTH;
}

int trie_slice(struct trie *t, const struct trie_token *tokens, size_t most, struct err *e)
{
    struct slice *s = realloc(t->slices, (t->n_slices + 1) * sizeof *s);
    struct trie_token *others = calloc(t->n_vocab + 1, sizeof *others);
    uint64_t *mask = calloc(t->n_vocab / 64 + 1, sizeof *mask);
    int rc = ERR_NOMEM;

    if (s)
        t->slices = s;
    if (!s || !others || !mask)
        goto out;
    for (size_t i = 0; i < t->n_vocab; i++)
        if (is_plain(&tokens[i], most))
            mask[i / 64] |= 1ull << i % 64;
        else
            others[i] = tokens[i];
    s = &t->slices[t->n_slices];
    *s = (struct slice){ .most = most, .mask = mask };
    rc = trie_init(&s->rest, others, t->n_vocab, e);
    if (rc == 0) {
        t->n_slices++;
        mask = NULL;
    }
out:
    free(others);
    free(mask);
    return rc ? err_set(e, rc, "no memory for a tree of %zu tokens", t->n_vocab) : 0;
}

void trie_done(struct trie *t)
{
    for (size_t i = 0; i < t->n_slices; i++) {
        free(t->slices[i].mask);
        trie_done(&t->slices[i].rest);
    }
    free(t->slices);
    free(t->byte);
    free(t->depth);
    free(t->skip);
    free(t->token);
    free(t->same);
    *t = (struct trie){ 0 };
}
