/* build.h - struct weights made of parts other than a GGUF file: a folder's tensors under the names
 * that a GGUF file would have, and its settings as the keys that it would have.
 *
 * weights_new(), then the others in any order, then weights_seal(); weights_close() also after an
 * error.  Not before weights_seal() may it be read.  One thread. */
#ifndef AIRSTRIP_WEIGHTS_BUILD_H
#define AIRSTRIP_WEIGHTS_BUILD_H

#include "inference/weights/mapping.h"
#include "inference/weights/weights.h"

int weights_new(struct weights **out, const char *path, struct err *e) MUST_CHECK;

/* Takes over the mappings, which the tensors lie in; the array is freed with free(). */
void weights_adopt(struct weights *w, struct mapping *files, size_t n);

/* The tensor's name is copied, its bytes must live until weights_close(): in an adopted file, or
 * in memory from weights_room(). */
int weights_put_tensor(struct weights *w, const struct tensor *t, struct err *e) MUST_CHECK;
void *weights_room(struct weights *w, size_t bytes); /* zeroed, 16-aligned; NULL: out of memory */

/* Keys are copied.  String values are borrowed until weights_close(); _copy copies. */
int weights_put_u64(struct weights *w, const char *key, uint64_t v, struct err *e) MUST_CHECK;
int weights_put_f64(struct weights *w, const char *key, double v, struct err *e) MUST_CHECK;
int weights_put_bool(struct weights *w, const char *key, bool v, struct err *e) MUST_CHECK;
int weights_put_str(struct weights *w, const char *key, struct str s, struct err *e) MUST_CHECK;
int weights_put_copy(struct weights *w, const char *key, struct str s, struct err *e) MUST_CHECK;
int weights_put_ints(struct weights *w, const char *key, const int64_t *v, size_t n,
                     struct err *e) MUST_CHECK;
int weights_put_floats(struct weights *w, const char *key, const double *v, size_t n,
                       struct err *e) MUST_CHECK;
int weights_put_strs(struct weights *w, const char *key, const struct str *v, size_t n,
                     struct err *e) MUST_CHECK; /* copied */

/* Of an open one: each() puts every tensor anew, as one or as several.  The old ones' bytes and
 * names stay.  After an error only weights_close() may follow. */
int weights_rebuild(struct weights *w,
                    int (*each)(void *arg, struct weights *w, const struct tensor *t,
                                struct err *e),
                    void *arg, struct err *e) MUST_CHECK;

/* Errors: ERR_FORMAT where two tensors or keys have one name. */
int weights_seal(struct weights *w, struct err *e) MUST_CHECK;

#endif
