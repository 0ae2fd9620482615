/* chat.h - a chat from its request to its answer, for every endpoint that is one.
 *
 * chat.c answers POST /v1/chat/completions with it; others read requests of their own into a struct
 * chat_request and tell the answer in a dialect of their own.  Runs on the worker's thread. */
#ifndef AIRSTRIP_CHAT_H
#define AIRSTRIP_CHAT_H

#include "fcgi/api/chat_request.h"
#include "fcgi/api/generation.h"
#include "fcgi/app.h"
#include "fcgi/parts/format.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"

/* Adapts a chat that was read to the model's template; *format: how the model will write calls.
 * Errors: ERR_LIMIT (the request's memory). */
int chat_prepare(const struct app_model *model, struct chat_request *c,
                 const struct format **format, struct arena *a, struct err *e) MUST_CHECK;

/* A request as /v1/chat/completions takes it, read and prepared, and the model that it asks for;
 * NULL with *e set where something is wrong with it. */
const struct app_model *chat_read(struct app *app, struct request *r, struct chat_request *c,
                                  const struct format **format, struct err *e);

/* Generates the answer and tells it in the dialect; own: see struct generation_ask. */
void chat_answer(struct app *app, struct request *r, struct reply *p, const struct app_model *model,
                 const struct chat_request *c, const struct format *format,
                 const struct dialect *dialect, void *own);

#endif
