/* name.h - what operators call a model of a hub: org/model or model, and perhaps :TAG, which names
 * one of a repository's GGUF files (org/model:Q4_K_M).  Any thread. */
#ifndef AIRSTRIP_HUB_NAME_H
#define AIRSTRIP_HUB_NAME_H

#include "kernels/base/err.h"

enum { HUB_REPO_BYTES = 200, HUB_TAG_BYTES = 100 };

struct hub_name {
    char repo[HUB_REPO_BYTES]; /* "org/model" or "model" */
    char tag[HUB_TAG_BYTES];   /* "Q4_K_M"; "" where none was given */
};

/* Rules for repositories are huggingface_hub's: one or two parts of 1 to 96 letters, digits, '.',
 * '_' and '-', which begin and end with neither '.' nor '-'; nowhere "--" or "..", and no ".git" at
 * the end.  Such a name is safe as a part of paths and URLs.
 * Errors: ERR_INVALID with what was expected and found. */
int hub_name_parse(struct hub_name *out, const char *text, struct err *e) MUST_CHECK;

#endif
