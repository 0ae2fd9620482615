#include "fcgi/admission.h"

#include <stdio.h>

#include "fcgi/app.h"
#include "fcgi/auth.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"

enum { WHO_BYTES = 96 };

bool admission_key(const struct app *app, struct request *r, struct reply *p)
{
    const char *authorization = request_header(r, "authorization");

    if (!app->auth)
        return true;
    r->admission.key = auth_check(app->auth, authorization);
    if (r->admission.key)
        return true;
    reply_header(p, "WWW-Authenticate", "Bearer");
    reply_error(p, 401, "invalid_request_error", "invalid_api_key", NULL,
                authorization
                    ? "Incorrect API key provided."
                    : "No API key was provided: send it as \"Authorization: Bearer KEY\".",
                0);
    return false;
}

static void put_number(struct reply *p, const char *name, size_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%zu", n);
    reply_header(p, name, text);
}

static void put_reset(struct reply *p, const char *name, double ms)
{
    char text[32];

    snprintf(text, sizeof text, "%.3gs", ms / 1000);
    reply_header(p, name, text);
}

/* OpenAI's names for them. */
static void put_headers(struct reply *p, const struct limit_state *s)
{
    if (s->rule.requests_per_minute) {
        put_number(p, "x-ratelimit-limit-requests", s->rule.requests_per_minute);
        put_number(p, "x-ratelimit-remaining-requests", s->requests_left);
        put_reset(p, "x-ratelimit-reset-requests", s->requests_reset_ms);
    }
    if (s->rule.tokens_per_minute) {
        put_number(p, "x-ratelimit-limit-tokens", s->rule.tokens_per_minute);
        put_number(p, "x-ratelimit-remaining-tokens", s->tokens_left);
        put_reset(p, "x-ratelimit-reset-tokens", s->tokens_reset_ms);
    }
}

bool admission_limits(const struct app *app, struct request *r, struct reply *p)
{
    const struct config *c = app->config;
    const struct limit_rule by_address = {
        .concurrency = c->address_concurrency,
        .requests_per_minute = c->address_requests,
        .tokens_per_minute = c->address_tokens,
    };
    const char *address = request_param(r, "REMOTE_ADDR");
    struct admission *a = &r->admission;
    struct limit_state left;
    char who[WHO_BYTES], part[WHO_BYTES - 8];
    struct err e = { 0 };
    int rc = 0;

    a->limits = app->server->limits;
    if (a->key) {
        snprintf(who, sizeof who, "key %s", a->key->name);
        rc = limits_enter(a->limits, who, "API key", &a->key->rule, &a->of_key, &e);
    }
    if (!rc && address && *address) {
        limits_address(address, part, sizeof part);
        snprintf(who, sizeof who, "address %s", part);
        rc = limits_enter(a->limits, who, "address", &by_address, &a->of_address, &e);
    }
    if (a->of_key) {
        limits_state(a->limits, a->of_key, &left);
        put_headers(p, &left);
    }
    if (rc)
        reply_err(p, &e);
    return rc == 0;
}

void admission_charge(struct request *r, size_t tokens)
{
    struct admission *a = &r->admission;

    limits_charge(a->limits, a->of_key, tokens);
    limits_charge(a->limits, a->of_address, tokens);
    a->charged += tokens;
}

void admission_end(struct request *r, size_t tokens)
{
    struct admission *a = &r->admission;

    if (tokens > a->charged)
        admission_charge(r, tokens - a->charged);
    limits_leave(a->limits, a->of_key);
    limits_leave(a->limits, a->of_address);
    a->of_key = a->of_address = NULL;
}

const char *admission_name(const struct request *r)
{
    return r->admission.key ? r->admission.key->name : NULL;
}
