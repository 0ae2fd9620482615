/* report.h - what both of Takeoff's APIs tell about readers.  Any thread. */
#ifndef AIRSTRIP_TAKEOFF_REPORT_H
#define AIRSTRIP_TAKEOFF_REPORT_H

#include "fcgi/app.h"
#include "kernels/base/buf.h"

enum reader_state { READER_LIVE, READER_LOADING, READER_DEAD };

enum reader_state reader_state(const struct app_model *m);

/* "key":value pairs of a reader, without braces: consumer_groups, device, loras, model_name,
 * model_type. */
void reader_info_put(struct buf *b, const struct app_model *m);

/* An object of such readers by id: those that are in that state, and that r's key may ask. */
void readers_put(struct buf *b, const struct app *app, const struct request *r,
                 enum reader_state state);

/* "name": and a JSON string. */
void pair_put(struct buf *b, const char *name, const char *text);

#endif
