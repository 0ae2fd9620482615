/* openapi.c - GET /openapi.json: openapi.json beside this file, as it was when the program was
 * built.
 */
#include <string.h>

#include "fcgi/api/handlers.h"
#include "fcgi/api/openapi.h"

void openapi_get(struct app *app, struct request *r, struct reply *p)
{
    (void)app;
    (void)r;
    buf_puts(&p->body, openapi_text);
}
