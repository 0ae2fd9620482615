/* conn.h - the bytes of one FastCGI request: its body in, its answer out.
 *
 * The only thing that request, reply and sse know of FastCGI; responder.c fills it from intake and
 * libfcgi, tests fill it from memory.  One thread at a time. */
#ifndef AIRSTRIP_CONN_H
#define AIRSTRIP_CONN_H

#include <stdbool.h>
#include <stddef.h>

struct conn {
    int fd; /* the web server's socket, for the watcher; -1 where there is none */

    /* Reads up to len bytes of the body into *to: how many, 0 at its end, -1 where it broke off
     * (time-out, connection lost).  It never waits: the body is here already. */
    long (*read)(struct conn *c, void *to, size_t len);

    /* Queues bytes of the answer; false once the other side is gone.  May block until the socket
     * takes more (never call it with a lock held). */
    bool (*write)(struct conn *c, const void *bytes, size_t len);

    /* Sends what is queued; false once the other side is gone. */
    bool (*flush)(struct conn *c);
};

#endif
