/* folder.h - a Hugging Face folder as it stands: its settings as JSON trees, its tensors under
 * their own names.  What they mean is inference/hf.c's matter.
 *
 * One thread. */
#ifndef AIRSTRIP_FOLDER_H
#define AIRSTRIP_FOLDER_H

#include "inference/weights/mapping.h"
#include "inference/weights/safetensors.h"
#include "inference/weights/weights.h"
#include "kernels/base/arena.h"
#include "kernels/base/value.h"

struct folder {
    struct value *config;           /* config.json: a map */
    struct value *generation;       /* generation_config.json; NULL where there is none */
    struct value *tokenizer_config; /* tokenizer_config.json; NULL where there is none */
    struct value *modules;          /* modules.json, a list; NULL where there is none */
    struct value *pooling;          /* config.json of the pooling that it names; NULL likewise */
    struct str tokenizer;           /* tokenizer.json's text; data NULL where there is none */
    struct str tokenizer_settings;  /* tokenizer_config.json's text; data NULL likewise */
    struct str chat_template;       /* chat_template.jinja's text; data NULL likewise */
    struct st_list tensors;         /* of all shards */
    struct mapping *files;          /* what the texts and tensors lie in */
    size_t n_files;
    struct arena arena; /* what is neither */
};

/* Is there a folder called path? */
bool folder_is(const char *path);

/* Reads all of it.  Errors: ERR_FORMAT, ERR_IO, ERR_NOTFOUND, ERR_UNSUPPORTED, ERR_NOMEM, naming
 * the file, and the tensor or byte.  Call folder_close() also after an error. */
int folder_open(struct folder *f, const char *path, struct err *e) MUST_CHECK;
void folder_close(struct folder *f); /* a zeroed one is fine */

#endif
