/* router.h - which function answers which method and path.
 *
 * The table is const data and all functions may be called by any thread. */
#ifndef AIRSTRIP_ROUTER_H
#define AIRSTRIP_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/app.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"

struct route {
    const char *method; /* "GET" (answers HEAD too), "POST" */
    const char *path;   /* exact, or ending in a {name} that matches all of a non-empty rest:
                         * "/v1/models/{id}" puts "org/model" into request->tail */
    void (*handler)(struct app *app, struct request *r, struct reply *p);
    bool open; /* answered without an API key */
};

/* Every endpoint, one line each, ending with a NULL path; lives in fcgi/api/routes.c. */
extern const struct route api_routes[];

/* Finds the route and fills request->tail; or answers itself and returns NULL: 404 that names the
 * path, 405 with Allow, 204 for OPTIONS (with CORS headers where cors_origin, which may be NULL, is
 * set). */
const struct route *router_find(const struct route *table, const char *cors_origin,
                                struct request *r, struct reply *p);

#endif
