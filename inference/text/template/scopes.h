/* scopes.h - names that a scope sets itself, and which hide others from its first line on. */
#ifndef AIRSTRIP_TEMPLATE_SCOPES_H
#define AIRSTRIP_TEMPLATE_SCOPES_H

#include "inference/text/template/parse.h"

/* Fills in `late` of all scopes inside of body, and *out for the template's own.  ERR_NOMEM. */
int template_find_late(struct parser *p, struct stmt *body, struct late *out) MUST_CHECK;

#endif
