/* weights.h - a model file as named tensors and metadata.
 *
 * The file is mapped read-only and stays so until weights_close(); tensors and strings are borrowed
 * from it. Every size and offset was checked when it was opened: a struct tensor handed out lies
 * within the file and its bytes match its type and shape. weights_open() and _close(): one thread;
 * everything else: any thread. */
#ifndef AIRSTRIP_WEIGHTS_H
#define AIRSTRIP_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/err.h"
#include "kernels/tensor.h"

struct weights;

/* Opens a GGUF file (version 2 or 3).  Errors: ERR_IO, ERR_FORMAT, ERR_UNSUPPORTED (tensor type),
 * each naming the file and the tensor, key or offset.  Close with weights_close(). */
int weights_open(struct weights **out, const char *path, struct err *e) MUST_CHECK;
/* Whether a file was cut short while it was mapped: its tensors cannot be trusted any more. */
bool weights_lost(const struct weights *w);

void weights_close(struct weights *w); /* NULL is fine */

const char *weights_path(const struct weights *w);
size_t weights_file_bytes(const struct weights *w);

/* By name; NULL if there is none. */
const struct tensor *weights_tensor(const struct weights *w, const char *name);
size_t weights_n_tensors(const struct weights *w);
const struct tensor *weights_tensor_at(const struct weights *w, size_t i);

/* Metadata.  Integers of any width and sign convert to each other where the value fits, floats too.
 * has: is the key there?  The get functions leave *out untouched and return ERR_NOTFOUND (without
 * text) where the key is absent, ERR_FORMAT with a sentence where it is of another kind or does not
 * fit. */
bool weights_has(const struct weights *w, const char *key);
int weights_u64(const struct weights *w, const char *key, uint64_t *out, struct err *e) MUST_CHECK;
int weights_f64(const struct weights *w, const char *key, double *out, struct err *e) MUST_CHECK;
int weights_bool(const struct weights *w, const char *key, bool *out, struct err *e) MUST_CHECK;

struct str {
    const char *data; /* not terminated; may hold any bytes */
    size_t len;
};
int weights_str(const struct weights *w, const char *key, struct str *out,
                struct err *e) MUST_CHECK;

/* Arrays: a cursor that was checked as a whole when the file was opened. */
enum weights_kind { WEIGHTS_INT, WEIGHTS_FLOAT, WEIGHTS_BOOL, WEIGHTS_STR };

struct weights_array {
    enum weights_kind kind;
    size_t len;
    const void *impl; /* the rest is the reader's own */
    int type;
};
int weights_array(const struct weights *w, const char *key, struct weights_array *out,
                  struct err *e) MUST_CHECK;

/* Copies all elements: out has room for a->len.  The kind must be the function's (int: WEIGHTS_INT
 * or BOOL). */
void weights_array_ints(const struct weights_array *a, int64_t *out);
void weights_array_floats(const struct weights_array *a, double *out);
void weights_array_strs(const struct weights_array *a, struct str *out);

/* Tells the system that a tensor's pages will not be needed soon (it was repacked), so that they do
 * not count as resident memory.  Reading it afterwards still works. */
void weights_release(const struct weights *w, const struct tensor *t);

/* The same of a tensor that nobody will read again: where it was made when the file was opened, its
 * memory goes, too, and its values with it. */
void weights_discard(const struct tensor *t);

#endif
