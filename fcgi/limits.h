/* limits.h - how much one key, or one address, may have at once and in a minute.
 *
 * An account is what is known of one name: requests in flight, and two buckets that fill again
 * evenly, one of requests and one of tokens.  A request is let in while the bucket of tokens is not
 * empty, and pays as its tokens come, so the bucket may fall below zero and then needs longer.
 * Accounts outlive the configuration that gave their rule.  Any thread. */
#ifndef AIRSTRIP_LIMITS_H
#define AIRSTRIP_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/err.h"

struct limits;
struct account;

/* 0: no limit. */
struct limit_rule {
    size_t concurrency;
    size_t requests_per_minute, tokens_per_minute;
};

/* What is left, for headers and the log. */
struct limit_state {
    struct limit_rule rule;
    size_t requests_left, tokens_left;
    double requests_reset_ms, tokens_reset_ms; /* until the bucket is full */
};

int limits_create(struct limits **out, struct err *e) MUST_CHECK;
void limits_free(struct limits *l); /* no account may be in use; NULL is fine */

/* Lets a request of `who` ("key alice", "address 192.0.2.1") in: *out is its account, to be given
 * back with limits_leave(); NULL where the rule has no limit.  what: "API key", for the sentence.
 * Errors: ERR_RATE with e->retry_after_s. */
int limits_enter(struct limits *l, const char *who, const char *what, const struct limit_rule *rule,
                 struct account **out, struct err *e) MUST_CHECK;
void limits_leave(struct limits *l, struct account *a); /* NULL is fine */

/* The request's tokens, as they come. */
void limits_charge(struct limits *l, struct account *a, size_t tokens); /* NULL is fine */

void limits_state(struct limits *l, const struct account *a, struct limit_state *out);

/* The /64 of an IPv6 address, since one client has all of it; other addresses as they are. */
void limits_address(const char *address, char *out, size_t size);

#endif
