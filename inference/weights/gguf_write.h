/* gguf_write.h - a GGUF file (version 3) as it grows: keys and tensors are announced in any order,
 * then come the tensors' bytes, in the order in which they were announced.
 *
 * The file stands under a name of its own beside `path` until gguf_finish(), which gives it that
 * name: others see all of it or nothing.  One thread. */
#ifndef AIRSTRIP_GGUF_WRITE_H
#define AIRSTRIP_GGUF_WRITE_H

#include "inference/weights/weights.h"

struct gguf_writer;

/* Errors: ERR_IO naming the path, ERR_NOMEM.  Free with gguf_writer_free(). */
int gguf_writer_create(struct gguf_writer **out, const char *path, struct err *e) MUST_CHECK;
void gguf_writer_free(struct gguf_writer *g); /* without gguf_finish(): the file is removed */

/* How a key of other weights goes on: numbers of 64 bits as such of 32 where they fit, which is
 * what llama.cpp expects; a number as an f32. */
enum gguf_how { GGUF_DROP, GGUF_AS_IS, GGUF_NARROW, GGUF_REAL };

/* Takes over the keys of w as how(key) says; may be called again with others.  Nothing looks
 * whether a key is there already.  Memory that runs out is told by gguf_begin(). */
void gguf_put_keys(struct gguf_writer *g, const struct weights *w,
                   enum gguf_how (*how)(const void *arg, struct str key), const void *arg);

/* Name, type and shape of t; its data is not looked at.  The bytes that follow from type and shape
 * are in *bytes.  Errors: ERR_FORMAT where rows are not whole blocks, or sizes wrap. */
int gguf_put_tensor(struct gguf_writer *g, const struct tensor *t, size_t *bytes,
                    struct err *e) MUST_CHECK;

/* Writes what was announced, and asks the file system for the room of the rest, so that a disk that
 * is too full is known at once.  From here on only gguf_write() and gguf_finish(). */
int gguf_begin(struct gguf_writer *g, struct err *e) MUST_CHECK;

/* The next bytes of the current tensor; it may not be passed. */
int gguf_write(struct gguf_writer *g, const void *bytes, size_t n, struct err *e) MUST_CHECK;

size_t gguf_file_bytes(const struct gguf_writer *g); /* after gguf_begin(): of the whole file */

/* All tensors are complete: the file reaches the disk, is read back as far as its table goes, and
 * gets its name. */
int gguf_finish(struct gguf_writer *g, struct err *e) MUST_CHECK;

#endif
