/* routes.h - what Takeoff's doors answer: tables as api_routes, see fcgi/router.h. */
#ifndef AIRSTRIP_TAKEOFF_ROUTES_H
#define AIRSTRIP_TAKEOFF_ROUTES_H

#include "fcgi/router.h"

extern const struct route takeoff_routes[];    /* the inference API, port 3000 */
extern const struct route management_routes[]; /* management, port 3001 */

#endif
