/* openapi.h - what this server takes, in OpenAPI's words: the text of openapi.json.
 *
 * tests/fcgi/api/test_openapi.c holds it to the routes and to what requests are read for.  Any
 * thread. */
#ifndef AIRSTRIP_OPENAPI_H
#define AIRSTRIP_OPENAPI_H

extern const char openapi_text[];

#endif
