/* peer.h - one connection of a web server, with what came on it.
 *
 * Belongs to one thread at a time: the gate's, then a worker's. */
#ifndef AIRSTRIP_PEER_H
#define AIRSTRIP_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "fcgi/intake.h"

struct peer {
    int fd; /* closed by peer_free() */
    struct intake intake;
    bool overloaded;     /* no memory for its body: to be refused */
    struct peer *next;   /* for the queue that it stands in */
    atomic_size_t *held; /* where its memory is counted; outlives it */
    atomic_size_t *open; /* where it counts until it has had its answer; NULL: it has */

    /* What follows is the gate's own. */
    struct peer *prev;
    bool asked, lingers, armed;
    double since_ms; /* accepted; of one that lingers: since then */
    double body_ms;  /* its head was complete; 0: it is not */
    double last_ms;  /* it sent something */
    size_t counted;  /* of *held */
};

/* Ends the connection. */
void peer_free(struct peer *p);

/* Brings *held up to date. */
void peer_count(struct peer *p);

/* Sends what the intake owes; false where the web server does not take it at once: then it is not
 * worth waiting for. */
bool peer_pay(struct peer *p);

/* Nothing more is sent; what still comes is to be read and thrown away for a while. */
void peer_see_off(struct peer *p);

/* A line in the log about a connection that is not served (event: "refused", "dropped"), with who
 * is at its other end.  At most ten lines a second; the next one says how many were left out. */
void peer_log(const struct peer *p, const char *event, const char *why);

/* The same, within the same limit, about one that was closed at once since the list called key does
 * not have its address.  Any thread. */
void peer_log_stranger(const struct sockaddr_storage *a, socklen_t len, const char *key);

#endif
