/* cors.h - pages of which other sites may read answers (Fetch standard, CORS protocol).  Any
 * thread. */
#ifndef AIRSTRIP_CORS_H
#define AIRSTRIP_CORS_H

#include "fcgi/reply.h"
#include "fcgi/request.h"

/* Adds the headers that every answer needs: allowed is "*", one origin, or several with commas
 * between; NULL: no other site's.  Returns what was allowed (the request's arena), NULL where the
 * request's origin is none of them. */
const char *cors_begin(const char *allowed, struct request *r, struct reply *p);

/* Adds what a browser's question before the request (OPTIONS) wants to know; methods: "GET, POST".
 */
void cors_answer(const char *methods, const struct request *r, struct reply *p);

#endif
