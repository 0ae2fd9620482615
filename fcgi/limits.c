/* A table of accounts under one lock.  Who is idle with full buckets has no history worth keeping,
 * and makes room for others; so an address that pays off its debt is forgotten, and nobody gets rid
 * of a debt by waiting less. */
#include "fcgi/limits.h"

#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"

enum {
    BUCKETS = 1024,
    MAX_ACCOUNTS = 16384, /* of addresses; keys are as many as their file says */
    WHO_BYTES = 96,
    MAX_RETRY_S = 120, /* clients give up at once above it */
    MINUTE_MS = 60000,
};

struct account {
    char who[WHO_BYTES];
    struct limit_rule rule;
    size_t active;
    double requests, tokens; /* left; tokens may be below 0 */
    double at_ms;            /* when that was so */
    struct account *next;
};

struct limits {
    pthread_mutex_t lock;
    struct account *buckets[BUCKETS];
    size_t n_accounts;
};

int limits_create(struct limits **out, struct err *e)
{
    struct limits *l = calloc(1, sizeof *l);

    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for limits");
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return 0;
}

void limits_free(struct limits *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (l->buckets[i]) {
            struct account *a = l->buckets[i];

            l->buckets[i] = a->next;
            free(a);
        }
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static double filled(double left, size_t per_minute, double ms)
{
    double most = (double)per_minute;

    left += most * ms / MINUTE_MS;
    return left < most ? left : most;
}

/* Brings the buckets up to now.  Lock held. */
static void refill(struct account *a, double now)
{
    a->requests = filled(a->requests, a->rule.requests_per_minute, now - a->at_ms);
    a->tokens = filled(a->tokens, a->rule.tokens_per_minute, now - a->at_ms);
    a->at_ms = now;
}

static bool is_forgettable(struct account *a, double now)
{
    refill(a, now);
    return !a->active && a->requests >= (double)a->rule.requests_per_minute &&
           a->tokens >= (double)a->rule.tokens_per_minute;
}

static void sweep(struct limits *l, double now)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct account **p = &l->buckets[i]; *p;) {
            struct account *a = *p;

            if (is_forgettable(a, now)) {
                *p = a->next;
                free(a);
                l->n_accounts--;
            } else {
                p = &a->next;
            }
        }
}

/* FNV-1a; whose names these are the operator or the web server says, so no seed is needed: chains
 * are bounded by the number of accounts. */
static size_t bucket_of(const char *who)
{
    unsigned h = 2166136261u;

    for (; *who; who++)
        h = (h ^ (unsigned char)*who) * 16777619u;
    return h % BUCKETS;
}

static struct account *find(struct limits *l, const char *who, double now)
{
    size_t i = bucket_of(who);
    struct account *a;

    for (a = l->buckets[i]; a && strncmp(a->who, who, WHO_BYTES - 1); a = a->next)
        ;
    if (a)
        return a;
    if (l->n_accounts >= MAX_ACCOUNTS)
        sweep(l, now);
    if (l->n_accounts >= MAX_ACCOUNTS && strncmp(who, "key ", 4))
        return NULL;
    a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    snprintf(a->who, sizeof a->who, "%s", who);
    a->at_ms = -1; /* fresh: its buckets are full */
    a->next = l->buckets[i];
    l->buckets[i] = a;
    l->n_accounts++;
    return a;
}

/* A rule that changed gives no more at once than it says, and takes nothing away. */
static void set_rule(struct account *a, const struct limit_rule *rule, double now)
{
    bool fresh = a->at_ms < 0;

    if (fresh || (!a->rule.requests_per_minute && rule->requests_per_minute))
        a->requests = (double)rule->requests_per_minute;
    if (fresh || (!a->rule.tokens_per_minute && rule->tokens_per_minute))
        a->tokens = (double)rule->tokens_per_minute;
    if (!rule->requests_per_minute)
        a->requests = 0;
    if (!rule->tokens_per_minute)
        a->tokens = 0;
    if (fresh)
        a->at_ms = now;
    a->rule = *rule;
    refill(a, now);
}

static int refuse(struct err *e, const char *what, const char *limit, size_t n, double wait_ms)
{
    double s = ceil(wait_ms / 1000);

    err_set(e, ERR_RATE, "Rate limit reached for this %s: %zu %s. Please try again in %.3g s.",
            what, n, limit, wait_ms / 1000);
    e->retry_after_s = s < 1 ? 1 : s > MAX_RETRY_S ? MAX_RETRY_S : (int)s;
    return ERR_RATE;
}

/* Lock held. */
static int check(const struct account *a, const char *what, struct err *e)
{
    const struct limit_rule *r = &a->rule;

    if (r->concurrency && a->active >= r->concurrency)
        return refuse(e, what, "requests at the same time", r->concurrency, 1000);
    if (r->requests_per_minute && a->requests < 1)
        return refuse(e, what, "requests per minute", r->requests_per_minute,
                      (1 - a->requests) * MINUTE_MS / (double)r->requests_per_minute);
    if (r->tokens_per_minute && a->tokens <= 0)
        return refuse(e, what, "tokens per minute", r->tokens_per_minute,
                      (1 - a->tokens) * MINUTE_MS / (double)r->tokens_per_minute);
    return 0;
}

int limits_enter(struct limits *l, const char *who, const char *what, const struct limit_rule *rule,
                 struct account **out, struct err *e)
{
    double now = clock_ms();
    struct account *a;
    int rc;

    *out = NULL;
    if (!rule->concurrency && !rule->requests_per_minute && !rule->tokens_per_minute)
        return 0;
    pthread_mutex_lock(&l->lock);
    a = find(l, who, now);
    if (a) {
        set_rule(a, rule, now);
        rc = check(a, what, e);
    } else {
        rc = err_set(e, ERR_RATE, "there is no room for one more %s; try again soon", what);
    }
    if (!rc) {
        a->active++;
        a->requests -= rule->requests_per_minute ? 1 : 0;
        *out = a;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

void limits_leave(struct limits *l, struct account *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&l->lock);
    a->active--;
    pthread_mutex_unlock(&l->lock);
}

void limits_charge(struct limits *l, struct account *a, size_t tokens)
{
    if (!a || !tokens)
        return;
    pthread_mutex_lock(&l->lock);
    refill(a, clock_ms());
    if (a->rule.tokens_per_minute)
        a->tokens -= (double)tokens;
    pthread_mutex_unlock(&l->lock);
}

static double until_full(double left, size_t per_minute)
{
    return per_minute ? ((double)per_minute - left) * MINUTE_MS / (double)per_minute : 0;
}

void limits_state(struct limits *l, const struct account *a, struct limit_state *out)
{
    pthread_mutex_lock(&l->lock);
    *out = (struct limit_state){
        .rule = a->rule,
        .requests_left = a->requests > 0 ? (size_t)a->requests : 0,
        .tokens_left = a->tokens > 0 ? (size_t)a->tokens : 0,
        .requests_reset_ms = until_full(a->requests, a->rule.requests_per_minute),
        .tokens_reset_ms = until_full(a->tokens, a->rule.tokens_per_minute),
    };
    pthread_mutex_unlock(&l->lock);
}

void limits_address(const char *address, char *out, size_t size)
{
    unsigned char bytes[16];

    if (inet_pton(AF_INET6, address, bytes) != 1) {
        snprintf(out, size, "%s", address);
        return;
    }
    if (!memcmp(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12)) { /* an IPv4 address mapped into IPv6 */
        snprintf(out, size, "%d.%d.%d.%d", bytes[12], bytes[13], bytes[14], bytes[15]);
        return;
    }
    memset(bytes + 8, 0, 8);
    if (!inet_ntop(AF_INET6, bytes, out, (socklen_t)size))
        snprintf(out, size, "%.40s", address);
}
