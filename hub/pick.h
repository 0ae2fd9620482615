/* pick.h - which of a repository's files a text model needs: those of a Hugging Face folder, or one
 * GGUF file with all its parts.  The same rules choose what is fetched and what is found.
 *
 * Any thread. */
#ifndef AIRSTRIP_HUB_PICK_H
#define AIRSTRIP_HUB_PICK_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/err.h"

#define HUB_FOLDER ((size_t)-1)

/* Marks in wanted[0..n) the files of the model, of n paths within the repository, '/' between
 * parts. tag  the GGUF file that it fits (hub_tag_fits()), the shortest name where several do;
 *   ""   the folder of config.json, tokenizer and safetensors where it is whole; else the only GGUF
 *        file, or that of Q4_K_M.
 * A split file of which a part is missing does not count; mmproj and imatrix files are not models.
 * *first: what to open, the index of the GGUF file or of its first part, or HUB_FOLDER.
 * Errors: ERR_NOTFOUND with what is missing or what there is to choose from; ERR_NOMEM. */
int hub_pick(const char *const *files, size_t n, const char *tag, bool *wanted, size_t *first,
             struct err *e) MUST_CHECK;

/* Does the tag stand in the file's name as a word of its own, or is it the name?  Case does not
 * matter; Q4_K is no word of x-Q4_K_M.gguf, Q4_0 none of x-IQ4_0.gguf. */
bool hub_tag_fits(const char *file, const char *tag);

/* Part `part` of `parts` of a split file: x-00002-of-00003.gguf.  *stem: length of x.  A file that
 * is not split: false, part and parts 1, and *stem where its name's ending begins. */
bool hub_part(const char *file, size_t *part, size_t *parts, size_t *stem);

#endif
