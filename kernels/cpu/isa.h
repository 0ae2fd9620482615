/* isa.h - which instruction set runs here.  Any thread. */
#ifndef AIRSTRIP_CPU_ISA_H
#define AIRSTRIP_CPU_ISA_H

#include "kernels/base/err.h"
#include "kernels/cpu/ops.h"

/* The fastest table this build, processor and system can run, or the one called `name` (NULL or "":
 * no wish).  Static: never free it.  NULL with ERR_UNSUPPORTED, saying what is missing. */
const struct isa_ops *isa_pick(const char *name, struct err *e);

/* Names this program knows, fastest first, ended by NULL; whether they run here is another matter.
 */
const char *const *isa_names(void);

#endif
