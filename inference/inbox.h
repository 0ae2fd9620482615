/* inbox.h - the engine's side of an inbox: events put in by one thread, taken out by another.
 *
 * Putting never waits and never fails: a consumer that lags finds the texts of one job joined.
 * Any thread may put and wake; one thread waits (the rest of the interface is in engine.h). */
#ifndef AIRSTRIP_INBOX_H
#define AIRSTRIP_INBOX_H

#include "inference/engine.h"

/* An event on its way.  Made with event_node_new(), given to inbox_put() or event_node_free(). */
struct event_node {
    struct event event;
    size_t width; /* EVENT_TEXT: entries of event.logprobs per token, 0 without logprobs */
    struct event_node *next;
};

struct event_node *event_node_new(enum event_kind kind, size_t tag); /* NULL: no memory */
void event_node_free(struct event_node *n);                          /* NULL is fine */

/* Takes n.  An EVENT_TEXT that follows an unread EVENT_TEXT of the same tag is joined to it. */
void inbox_put(struct inbox *in, struct event_node *n);

#endif
