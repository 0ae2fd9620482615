/* guard.h - what becomes of a model file that is cut short while it is mapped.
 *
 * Reading a page that the file no longer has raises SIGBUS.  The handler puts zeros in its place,
 * so that whoever reads goes on, and remembers that the mapping's bytes cannot be trusted any more;
 * who computes with them asks before it tells anybody a result.  Any thread. */
#ifndef AIRSTRIP_GUARD_H
#define AIRSTRIP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Installs the handler; a SIGBUS elsewhere ends the process as ever.  Once, by main. */
void guard_install(void);

/* From now on, and until guard_leave(), base[bytes] is known.  Where there are too many it is not,
 * and SIGBUS ends the process. */
void guard_enter(const void *base, size_t bytes);
void guard_leave(const void *base);

/* Whether bytes of the mapping at base were replaced by zeros. */
bool guard_lost(const void *base);

#endif
