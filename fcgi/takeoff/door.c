#include "fcgi/takeoff/door.h"

#include <string.h>

#include "fcgi/auth.h"
#include "fcgi/takeoff/routes.h"

static const struct route nothing[] = { { 0 } };

struct door door_of(const struct app *app, const struct request *r)
{
    const char *name = app->config->takeoff ? request_param(r, "AIRSTRIP_DOOR") : NULL;

    if (!name || !*name)
        return (struct door){ .routes = api_routes };
    if (!strcmp(name, "takeoff"))
        return (struct door){ .routes = takeoff_routes };
    if (!strcmp(name, "management"))
        return (struct door){ .routes = management_routes, .manages = true };
    return (struct door){ .routes = nothing };
}

/* 127.0.0.0/8 and ::1, the former also as IPv6 writes it. */
static bool is_loopback(const char *address, size_t len)
{
    if (len > 7 && !strncmp(address, "::ffff:", 7)) {
        address += 7;
        len -= 7;
    }
    return (len > 4 && !strncmp(address, "127.", 4)) || (len == 3 && !strncmp(address, "::1", 3));
}

/* Whether all who a request passed are on this machine: X-Forwarded-For, which Caddy adds itself,
 * is a list with commas between. */
static bool all_loopback(const char *list)
{
    size_t len;

    for (; *list; list += len) {
        list += strspn(list, ", ");
        len = strcspn(list, ", ");
        if (len && !is_loopback(list, len))
            return false;
    }
    return true;
}

static const char *why_not(const struct app *app, const struct request *r)
{
    const struct auth_key *key = r->admission.key;
    const char *address = request_param(r, "REMOTE_ADDR");
    const char *passed = request_header(r, "x-forwarded-for");

    if (app->auth)
        return key && key->manage
                   ? NULL
                   : "This API key may not manage readers: its line in the file of keys lacks "
                     "manage=yes.";
    if (!address || !is_loopback(address, strlen(address)))
        return "Without API keys readers are managed from the server's own machine only.";
    if ((passed && !all_loopback(passed)) || request_header(r, "forwarded"))
        return "Without API keys readers are not managed through a proxy.";
    if (request_header(r, "origin"))
        return "Without API keys readers are not managed by pages in a browser.";
    return NULL;
}

bool door_admits(const struct app *app, const struct door *d, const struct request *r,
                 struct reply *p)
{
    const char *why = d->manages ? why_not(app, r) : NULL;

    if (why)
        reply_error(p, 403, "invalid_request_error", "permission_denied", NULL, why, 0);
    return !why;
}
