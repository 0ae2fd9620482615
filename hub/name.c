#include "hub/name.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { PART_MAX = 96 };

static bool plain(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("._-", s[i]))
            return false;
    return len > 0;
}

static bool is_part(const char *s, size_t len)
{
    return plain(s, len) && len <= PART_MAX && !strchr(".-", s[0]) && !strchr(".-", s[len - 1]);
}

static bool is_repo(const char *s, size_t len)
{
    const char *slash = memchr(s, '/', len);
    size_t first = slash ? (size_t)(slash - s) : 0;

    for (size_t i = 0; i + 1 < len; i++)
        if ((s[i] == '-' || s[i] == '.') && s[i + 1] == s[i])
            return false;
    if (len > 4 && !memcmp(s + len - 4, ".git", 4))
        return false;
    return slash ? is_part(s, first) && is_part(slash + 1, len - first - 1) : is_part(s, len);
}

int hub_name_parse(struct hub_name *out, const char *text, struct err *e)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    size_t tag_len = colon ? strlen(colon + 1) : 0;

    *out = (struct hub_name){ 0 };
    if (!is_repo(text, len) || (colon && (!plain(colon + 1, tag_len) || tag_len >= HUB_TAG_BYTES)))
        return err_set(e, ERR_INVALID,
                       "expected a name such as gpt2, org/model or org/model:Q4_K_M, found "
                       "\"%.200s\"",
                       text);
    memcpy(out->repo, text, len); /* at most 96 + 1 + 96 bytes */
    if (colon)
        memcpy(out->tag, colon + 1, tag_len);
    return 0;
}
