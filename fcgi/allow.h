/* allow.h - who may connect to a TCP socket: a list of addresses and networks.
 *
 * FastCGI has neither passwords nor signatures: who reaches the port can send any request under any
 * name.  So a socket that other hosts reach needs such a list (allow_check()), and one that only
 * this machine reaches does not.  Lists are constant once parsed; any thread. */
#ifndef AIRSTRIP_ALLOW_H
#define AIRSTRIP_ALLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "kernels/base/arena.h"
#include "kernels/base/err.h"

struct allow;

enum { ALLOW_MAX = 1024 }; /* addresses and networks in one list */

/* "10.0.0.0/8, 192.168.1.7, fd00::/8": numeric addresses, each alone or with the length of its
 * network's prefix, with commas or blanks between.  ::ffff:10.0.0.0/104 is 10.0.0.0/8.  key is what
 * the list is called in messages, *out lives in a; both are borrowed by it.
 * Errors: ERR_INVALID with what was expected, found, and at which character; ERR_NOMEM. */
int allow_parse(const struct allow **out, const char *key, const char *text, struct arena *a,
                struct err *e) MUST_CHECK;

/* Whether the peer's address is on the list.  An IPv4 address that comes mapped into IPv6 counts as
 * what it is, and no IPv6 network contains it. */
bool allow_has(const struct allow *l, const struct sockaddr_storage *peer);

/* The key of allow_parse(). */
const char *allow_key(const struct allow *l);

/* Whether a socket that is bound to this address may serve with this list (NULL: there is none):
 * Unix sockets and loopback addresses always, other TCP sockets with a list only.  key is the
 * configuration's for it and where what the operator calls the socket, for the sentence.
 * Errors: ERR_INVALID with what to write; also for a socket of another family. */
int allow_check(const struct allow *l, const struct sockaddr_storage *bound, const char *key,
                const char *where, struct err *e) MUST_CHECK;

#endif
