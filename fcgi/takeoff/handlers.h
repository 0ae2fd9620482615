/* handlers.h - the endpoints of Takeoff's inference API (its port 3000) and of its management API
 * (3001), one function each; routes.c says who answers what.
 *
 * Each fills the reply, or streams it, and returns.  Runs on the worker's thread. */
#ifndef AIRSTRIP_TAKEOFF_HANDLERS_H
#define AIRSTRIP_TAKEOFF_HANDLERS_H

#include "fcgi/app.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"

void takeoff_generate(struct app *app, struct request *r, struct reply *p);
void takeoff_generate_stream(struct app *app, struct request *r, struct reply *p);
void takeoff_embed(struct app *app, struct request *r, struct reply *p);
void takeoff_classify(struct app *app, struct request *r, struct reply *p);
void takeoff_images(struct app *app, struct request *r, struct reply *p);
void takeoff_tokenize(struct app *app, struct request *r, struct reply *p);
void takeoff_detokenize(struct app *app, struct request *r, struct reply *p);
void takeoff_chat_template(struct app *app, struct request *r, struct reply *p);
void takeoff_health(struct app *app, struct request *r, struct reply *p);
void takeoff_status(struct app *app, struct request *r, struct reply *p);

void management_groups(struct app *app, struct request *r, struct reply *p);
void management_add(struct app *app, struct request *r, struct reply *p);
void management_remove(struct app *app, struct request *r, struct reply *p);
void management_config(struct app *app, struct request *r, struct reply *p);
void management_status(struct app *app, struct request *r, struct reply *p);

/* Parts of them. */

struct takeoff_limits;
void takeoff_limits_of(const struct app *app, struct takeoff_limits *out);

/* As app_find_model(), the error's param being consumer_group. */
const struct app_model *takeoff_model(const struct app *app, const struct request *r,
                                      const char *group, struct err *e);

/* The model of that id: the name of its section, or one of its further names; NULL: none. */
const struct app_model *takeoff_reader_of_id(const struct app *app, const char *id);

/* The one that r->tail names.  NULL with ERR_NOTFOUND, ERR_FORBIDDEN, ERR_LOADING, as
 * app_find_model()'s.  So ->engine of what it returns is never NULL. */
const struct app_model *takeoff_reader(const struct app *app, const struct request *r,
                                       struct err *e);

/* The context of a chat in which a user says this; NULL: the arena is full. */
struct value *takeoff_chat_context(const struct value *text, struct arena *a);

#endif
