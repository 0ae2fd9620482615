#include "fcgi/sockets.h"

#include <unistd.h>

#include "fcgi/handover.h"

/* A mistake shows here, before seconds are spent on models; and the predecessor goes on. */
static int check_taken(const struct sockets *s, const struct config *c, struct err *e)
{
    if (c->listen && !listener_is_at(&s->listen, c->listen))
        return err_set(e, ERR_INVALID,
                       "process %d listens elsewhere than on %.120s, so it cannot be taken over: "
                       "stop it and start anew",
                       (int)s->predecessor_pid, c->listen);
    return 0;
}

const struct allow *sockets_status_allow(const struct config *c)
{
    return c->status_allow ? c->status_allow : c->listen_allow;
}

int sockets_check(const struct sockets *s, const struct config *c, struct err *e)
{
    int rc = listener_check(&s->listen, c->listen_allow, "listen_allow", e);

    if (!rc && s->status.fd >= 0)
        rc = listener_check(&s->status, sockets_status_allow(c), "status_allow", e);
    return rc;
}

int sockets_check_config(const struct config *c, struct err *e)
{
    int rc = listener_check_at(c->listen, c->listen_allow, "listen_allow", e);

    if (!rc && c->status_listen)
        rc = listener_check_at(c->status_listen, sockets_status_allow(c), "status_allow", e);
    return rc;
}

/* Opens those that no predecessor has given. */
static int open_anew(struct sockets *s, const struct config *c, struct err *e)
{
    int rc = listener_open(&s->listen, c->listen, c->listen_mode, e);

    if (!rc && c->status_listen)
        rc = listener_open(&s->status, c->status_listen, c->listen_mode, e);
    return rc;
}

int sockets_open(struct sockets *s, const struct config *c, struct err *e)
{
    int rc = 0;

    *s = (struct sockets){ .listen = { .fd = -1 }, .status = { .fd = -1 }, .predecessor = -1 };
    if (c->take_over && !c->status_listen)
        return err_param(e, "take_over", ERR_INVALID,
                         "take_over: expected status_listen beside it, found none");
    if (c->take_over) {
        rc = handover_ask(c->status_listen, &s->listen, &s->status, &s->predecessor,
                          &s->predecessor_pid, e);
        if (rc)
            return err_prefix(e, "take_over: ");
    }
    rc = s->predecessor >= 0 ? check_taken(s, c, e) : open_anew(s, c, e);
    if (!rc)
        listener_lift(&s->listen);
    return rc ? rc : sockets_check(s, c, e);
}

void sockets_serve(struct sockets *s)
{
    if (s->predecessor < 0)
        return;
    s->listen.is_ours = *s->listen.path != '\0';
    s->status.is_ours = *s->status.path != '\0';
    handover_tell(s->predecessor);
    close(s->predecessor);
    s->predecessor = -1;
}

void sockets_leave(struct sockets *s)
{
    s->listen.is_ours = s->status.is_ours = false;
}

void sockets_done(struct sockets *s)
{
    listener_done(&s->listen);
    listener_done(&s->status);
    if (s->predecessor >= 0)
        close(s->predecessor);
    s->predecessor = -1;
}
