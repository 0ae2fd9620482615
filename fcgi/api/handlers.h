/* handlers.h - the endpoints, one function each; routes.c says who answers what.
 *
 * Each fills the reply, or streams it, and returns.  Runs on the worker's thread. */
#ifndef AIRSTRIP_HANDLERS_H
#define AIRSTRIP_HANDLERS_H

#include "fcgi/app.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"

void chat_handle(struct app *app, struct request *r, struct reply *p);
void responses_handle(struct app *app, struct request *r, struct reply *p);
void responses_count(struct app *app, struct request *r, struct reply *p);
void completions_handle(struct app *app, struct request *r, struct reply *p);
void embeddings_handle(struct app *app, struct request *r, struct reply *p);
void tokens_apply_template(struct app *app, struct request *r, struct reply *p);
void tokens_count(struct app *app, struct request *r, struct reply *p);
void tokens_tokenize(struct app *app, struct request *r, struct reply *p);
void tokens_detokenize(struct app *app, struct request *r, struct reply *p);
void models_list(struct app *app, struct request *r, struct reply *p);
void models_get(struct app *app, struct request *r, struct reply *p);
void selftest_report(struct app *app, struct request *r, struct reply *p);
void selftest_events(struct app *app, struct request *r, struct reply *p);
void props_get(struct app *app, struct request *r, struct reply *p);
void props_slots(struct app *app, struct request *r, struct reply *p);
void metrics_get(struct app *app, struct request *r, struct reply *p);
void status_get(struct app *app, struct request *r, struct reply *p);
void openapi_get(struct app *app, struct request *r, struct reply *p);
void health_live(struct app *app, struct request *r, struct reply *p);
void health_ready(struct app *app, struct request *r, struct reply *p);
void health_report(struct app *app, struct request *r, struct reply *p);

#endif
