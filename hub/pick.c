#include "hub/pick.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_TAG "Q4_K_M" /* what most repositories of GGUF files recommend */

static const char index_file[] = "model.safetensors.index.json";
static const char single_file[] = "model.safetensors";
/* What a folder must have besides weights, and what it may: inference/weights/folder.h reads the
 * first six, transformers and sentence-transformers the rest as well. */
static const char *const needed[] = { "config.json", "tokenizer.json" };
static const char *const welcome[] = {
    "generation_config.json",    "tokenizer_config.json",
    "chat_template.jinja",       "modules.json",
    "special_tokens_map.json",   "added_tokens.json",
    "sentence_bert_config.json", "config_sentence_transformers.json"
};

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Digits that end before s[*end]; moves *end to their beginning.  False where there are none. */
static bool digits_before(const char *s, size_t *end, size_t *value)
{
    size_t from = *end;

    while (from && *end - from < 6 && isdigit((unsigned char)s[from - 1]))
        from--;
    if (from == *end)
        return false;
    *value = strtoul(s + from, NULL, 10);
    *end = from;
    return true;
}

bool hub_part(const char *file, size_t *part, size_t *parts, size_t *stem)
{
    const char *dot = strrchr(last_part(file), '.');
    size_t end = dot ? (size_t)(dot - file) : strlen(file), n, i;

    *stem = end;
    *part = *parts = 1;
    if (!digits_before(file, &end, &n) || end < 4 || memcmp(file + end - 4, "-of-", 4))
        return false;
    end -= 4;
    if (!digits_before(file, &end, &i) || !end || file[end - 1] != '-' || !i || i > n)
        return false;
    *stem = end - 1;
    *part = i;
    *parts = n;
    return true;
}

bool hub_tag_fits(const char *file, const char *tag)
{
    const char *name = last_part(file);
    size_t len = strlen(tag), n = strlen(name);

    if (!strcasecmp(name, tag) ||
        (n == len + 5 && !strncasecmp(name, tag, len) && !strcasecmp(name + len, ".gguf")))
        return true;
    for (const char *s = file; len && (s = strcasestr(s, tag)); s++)
        if ((s == file || !isalnum((unsigned char)s[-1])) && (!s[len] || strchr("-./", s[len])))
            return true;
    return false;
}

/* Is this the first part of a GGUF model, or one in a single file? */
static bool begins_gguf(const char *file)
{
    const char *name = last_part(file);
    size_t n = strlen(name), part, parts, stem;

    if (n < 6 || strcasecmp(name + n - 5, ".gguf") || strcasestr(name, "mmproj") ||
        strcasestr(name, "imatrix"))
        return false;
    hub_part(file, &part, &parts, &stem);
    return part == 1;
}

/* Do both belong to one split file? */
static bool same_set(const char *a, const char *b)
{
    size_t part, n_a, n_b, stem_a, stem_b;

    return hub_part(a, &part, &n_a, &stem_a) && hub_part(b, &part, &n_b, &stem_b) && n_a == n_b &&
           stem_a == stem_b && !memcmp(a, b, stem_a) && !strcmp(strrchr(a, '.'), strrchr(b, '.'));
}

/* Marks all parts of the set that files[first] is of (wanted may be NULL); are they all there? */
static bool take_set(const char *const *files, size_t n, size_t first, bool *wanted)
{
    size_t part, parts, stem, found = 0;

    if (!hub_part(files[first], &part, &parts, &stem)) {
        if (wanted)
            wanted[first] = true;
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (!same_set(files[first], files[i]))
            continue;
        found++; /* names are unique, so the parts are */
        if (wanted)
            wanted[i] = true;
    }
    return found == parts;
}

static size_t find(const char *const *files, size_t n, const char *name)
{
    size_t i = 0;

    while (i < n && strcmp(files[i], name))
        i++;
    return i;
}

/* The weights of a folder: one file, or shards with an index.  False where they are not all there.
 */
static bool pick_weights(const char *const *files, size_t n, bool *wanted)
{
    size_t index = find(files, n, index_file), single = find(files, n, single_file);

    for (size_t i = 0; index < n && i < n; i++) {
        size_t part, parts, stem;

        if (hub_part(files[i], &part, &parts, &stem) && part == 1 && stem == strlen("model") &&
            !memcmp(files[i], "model", stem) && !strcmp(strrchr(files[i], '.'), ".safetensors") &&
            take_set(files, n, i, wanted)) {
            wanted[index] = true;
            return true;
        }
    }
    if (single == n)
        return false;
    wanted[single] = true;
    if (index < n) /* of one shard */
        wanted[index] = true;
    return true;
}

/* Of sentence-transformers, such as 1_Pooling/config.json. */
static bool is_module(const char *file)
{
    size_t digits = strspn(file, "0123456789");
    const char *slash = strchr(file, '/');

    return digits && file[digits] == '_' && slash && strcmp(slash, "/config.json") == 0;
}

static int pick_folder(const char *const *files, size_t n, bool *wanted, struct err *e)
{
    for (size_t k = 0; k < sizeof needed / sizeof *needed; k++) {
        size_t i = find(files, n, needed[k]);

        if (i == n)
            return err_set(e, ERR_NOTFOUND, "it has neither a GGUF file nor %s", needed[k]);
        wanted[i] = true;
    }
    for (size_t k = 0; k < sizeof welcome / sizeof *welcome; k++) {
        size_t i = find(files, n, welcome[k]);

        if (i < n)
            wanted[i] = true;
    }
    for (size_t i = 0; i < n; i++)
        wanted[i] |= is_module(files[i]);
    if (!pick_weights(files, n, wanted))
        return err_set(e, ERR_NOTFOUND,
                       "it has neither a GGUF file nor %s, whole or in parts with an index",
                       single_file);
    return 0;
}

/* The models whose first files fit the tag ("": all): how many, and the one with the shortest name,
 * ties: the first.  *tied: how many names are as short. */
static size_t count(const char *const *files, size_t n, const char *tag, size_t *best, size_t *tied)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        if (!begins_gguf(files[i]) || (*tag && !hub_tag_fits(files[i], tag)) ||
            !take_set(files, n, i, NULL))
            continue;
        if (!found || strlen(files[i]) < strlen(files[*best])) {
            *best = i;
            *tied = 0;
        }
        *tied += strlen(files[i]) == strlen(files[*best]);
        found++;
    }
    return found;
}

/* "it has several GGUF files, name one: a, b, c". */
static int choices(const char *const *files, size_t n, const char *said, struct err *e)
{
    char list[360] = "";

    for (size_t i = 0; i < n; i++) {
        size_t used = strlen(list);

        if (begins_gguf(files[i]) && take_set(files, n, i, NULL))
            snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", files[i]);
    }
    return err_set(e, ERR_NOTFOUND, "%s: %s", said, *list ? list : "there is none");
}

int hub_pick(const char *const *files, size_t n, const char *tag, bool *wanted, size_t *first,
             struct err *e)
{
    size_t tied = 0, best = 0, found;
    int rc = 0;

    memset(wanted, 0, n * sizeof *wanted);
    *first = HUB_FOLDER;
    if (!*tag) {
        if (!(rc = pick_folder(files, n, wanted, e)))
            return 0;
        memset(wanted, 0, n * sizeof *wanted);
        found = count(files, n, "", &best, &tied);
        if (!found)
            return rc;
        if (found > 1 && (!count(files, n, DEFAULT_TAG, &best, &tied) || tied > 1))
            return choices(files, n, "it has several GGUF files, say which after a colon", e);
    } else {
        char said[160];

        snprintf(said, sizeof said, "no GGUF file of it fits \"%.100s\"", tag);
        if (!count(files, n, tag, &best, &tied))
            return choices(files, n, said, e);
        if (tied > 1)
            return choices(files, n, "several of its GGUF files fit, say more", e);
    }
    take_set(files, n, best, wanted);
    *first = best;
    return 0;
}
