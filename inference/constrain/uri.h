/* uri.h - references between schemas: RFC 3986, section 5.2.  Any thread. */
#ifndef AIRSTRIP_CONSTRAIN_URI_H
#define AIRSTRIP_CONSTRAIN_URI_H

#include "kernels/base/arena.h"

/* What ref means where base holds ("" where none does), without its fragment.  Lives in the arena;
 * NULL without memory. */
const char *uri_resolve(struct arena *a, const char *base, const char *ref);

/* Behind the '#'; "" without one. */
const char *uri_fragment(const char *ref);

#endif
