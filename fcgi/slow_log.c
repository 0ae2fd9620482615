#include "fcgi/slow_log.h"

#include "kernels/base/clock.h"
#include "kernels/base/log.h"

struct look {
    struct server *server;
    double limit_ms;
};

static void tell(struct server *s, struct slot *slot, double limit_ms)
{
    double ms = clock_ms() - slot->start_ms;
    struct log_line l;

    if (slot->told_slow || ms < limit_ms)
        return;
    slot->told_slow = true;
    s->counters.slow++;
    log_begin(&l, LOG_WARN, "slow");
    log_str(&l, "id", slot->id);
    log_str(&l, "state", board_state_name(slot));
    log_ms(&l, "since_ms", ms);
    log_str(&l, "method", slot->method);
    log_str(&l, "path", slot->path);
    log_str(&l, "model", slot->model);
    log_str(&l, "key", slot->key);
    log_str(&l, "address", *slot->address ? slot->address : NULL);
    log_int(&l, "prompt_tokens", (long long)slot->prompt_tokens);
    log_int(&l, "written_tokens", (long long)slot->written_tokens);
    log_end(&l);
}

static void look(void *arg, struct slot *slot)
{
    const struct look *l = arg;

    tell(l->server, slot, l->limit_ms);
}

void slow_log_look(struct server *s, size_t limit_ms)
{
    struct look l = { s, (double)limit_ms };

    if (limit_ms)
        board_each(&s->board, look, &l);
}

void slow_log_end(struct server *s, size_t limit_ms, struct slot *slot)
{
    if (limit_ms)
        tell(s, slot, (double)limit_ms);
}
