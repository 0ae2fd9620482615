/* rig.h - a model of tests/data/gguf on a backend, ready to step. */
#ifndef AIRSTRIP_TESTS_RIG_H
#define AIRSTRIP_TESTS_RIG_H

#include "inference/forward.h"
#include "kernels/base/value.h"

struct rig {
    const struct backend *backend;
    struct device *device;
    struct weights *w;
    struct model model;
    struct kvcache cache;
    struct forward *forward;
    bool prompt; /* of the steps that rig_step() makes */
};

enum { RIG_MAX_ROWS = 256, RIG_MAX_OUTPUTS = 16, RIG_PAGE_TOKENS = 16, RIG_PAGES = 64 };

/* Path of a file of tests/data/gguf; static storage. */
const char *rig_path(const char *file);

/* kv_dtype 0 (DTYPE_F32) or DTYPE_F16.  ERR_* as the parts say; rig_close() also after an error. */
int rig_open(struct rig *r, const struct backend *b, const char *isa, const char *file,
             enum dtype kv_dtype, struct err *e) MUST_CHECK;
void rig_close(struct rig *r);

/* Rows of one sequence from position pos, all_rows: every row is an output, else the last one. */
void rig_step(struct rig *r, const struct kv_table *t, const int32_t *ids, size_t pos, size_t n,
              bool all_rows);

/* tests/data/gguf/expected.json, cut down from the golden data; NULL if it cannot be read. */
const struct value *rig_expected(struct arena *a, const char *file);
size_t rig_ids(const struct value *list, int32_t *out, size_t max);

#endif
