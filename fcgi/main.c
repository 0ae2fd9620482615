/* main - airstrip: reads the configuration, opens the models, serves until told to stop. */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "fcgi/acceptor.h"
#include "fcgi/access_log.h"
#include "fcgi/app.h"
#include "fcgi/config_keys.h"
#include "fcgi/keeper.h"
#include "fcgi/launch.h"
#include "fcgi/make_key.h"
#include "fcgi/notify.h"
#include "fcgi/reading.h"
#include "fcgi/responder.h"
#include "fcgi/sandbox.h"
#include "fcgi/server.h"
#include "fcgi/sidedoor.h"
#include "fcgi/signals.h"
#include "fcgi/sockets.h"
#include "fcgi/takeoff/manifest.h"
#include "kernels/base/heap.h"
#include "kernels/base/log.h"

enum { LAST_WORDS_MS = 3000 };

extern char **environ;

/* From the table itself, so that no key can be missing. */
static void print_help(void)
{
    printf(
        "usage: airstrip [--config FILE] [--check] [--KEY VALUE]...\n"
        "Serves language models over FastCGI, speaking OpenAI's API.\n\n"
        "  --config FILE  configuration (default %s)\n"
        "  --check  say whether configuration and models are fine, and end\n"
        "  --name NAME, --consumer-group NAME  the model that the options of models speak of\n"
        "  --make-key NAME  draw an API key: the key on standard error, its line for the file of\n"
        "                   keys on standard output; --hash-key NAME takes it from standard input\n"
        "  --help, --version\n\n"
        "Keys, here and in the configuration file (with '_') and environment (AIRSTRIP_KEY):\n",
        reading_default_file);
    for (const struct config_key *k = config_keys; k->name; k++) {
        printf("  --");
        for (const char *p = k->name; *p; p++)
            putchar(*p == '_' ? '-' : *p);
        printf(" %s\n", k->help);
    }
}

/* --check: sockets, every model and the keys, with a sentence for each thing that is wrong. */
static int check(const struct config *c)
{
    struct engine_config ec;
    struct auth *auth = NULL;
    struct err e;
    int bad = 0;

    if (sockets_check_config(c, &e)) {
        fprintf(stderr, "airstrip: %s\n", e.text);
        bad = 1;
    }
    for (size_t i = 0; i < c->n_models; i++) {
        config_engine(&c->models[i], &ec);
        if (engine_check(&ec, &e)) {
            fprintf(stderr, "airstrip: model \"%s\": %s\n", c->models[i].name, e.text);
            bad = 1;
        }
    }
    if (c->api_keys && auth_open(&auth, c->api_keys, &e)) {
        fprintf(stderr, "airstrip: %s\n", e.text);
        bad = 1;
    }
    auth_free(auth);
    for (size_t i = 0; c->manifest && i < c->manifest->n_notes; i++)
        fprintf(stderr, "airstrip: %s: %s\n", c->takeoff_manifest, c->manifest->notes[i]);
    if (!bad)
        fprintf(stderr, "airstrip: all is well: %zu model%s\n", c->n_models,
                c->n_models == 1 ? "" : "s");
    return bad;
}

/* The one line that tells what this process was asked to be. */
static void log_start(const struct config *c, const struct sockets *s)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "start");
    log_str(&line, "version", PACKAGE_VERSION);
    log_int(&line, "pid", getpid());
    log_str(&line, "config", c->file);
    log_str(&line, "listen", s->listen.name);
    if (s->predecessor >= 0)
        log_int(&line, "predecessor", s->predecessor_pid);
    for (size_t i = 0; i < c->n_models; i++) {
        log_str(&line, "model", c->models[i].name);
        log_str(&line, "file", c->models[i].path);
        log_str(&line, "device", c->models[i].device);
    }
    log_int(&line, "max_connections", (long long)c->max_connections);
    log_int(&line, "body_size_limit", (long long)c->body_size_limit);
    log_str(&line, "api_keys", c->api_keys ? "yes" : "no");
    log_end(&line);
}

/* Whatever is opened for good is open.  A driver of a GPU makes calls that nobody can list. */
static void close_in(const struct server *s)
{
    const struct app *a = s->current;
    enum sandbox how = (enum sandbox)a->config->seccomp;
    struct engine_status status;
    struct err e;

    if (how != SANDBOX_OFF && launch_on()) {
        log_msg(LOG_INFO, "sandbox", "no filter of system calls: MPI makes calls of its own");
        return;
    }
    for (size_t i = 0; how != SANDBOX_OFF && i < a->n_models; i++) {
        if (!a->models[i].engine)
            continue;
        engine_status(a->models[i].engine, &status);
        if (!strcmp(status.device, "cpu"))
            continue;
        log_msg(LOG_INFO, "sandbox", "no filter of system calls: model \"%s\" is on device %s",
                a->models[i].name, status.device);
        return;
    }
    if (sandbox_enter(how, &e)) {
        log_msg(LOG_WARN, "sandbox", "no filter of system calls: %s", e.text);
        return;
    }
    if (how == SANDBOX_ON)
        engine_confine("system calls are filtered since the program serves models on the CPU only; "
                       "restart it for one on a GPU");
    log_msg(LOG_INFO, "sandbox", "%s",
            how == SANDBOX_ON    ? "system calls that serving does not need are refused"
            : how == SANDBOX_LOG ? "system calls that serving does not need go to the kernel's log"
                                 : "system calls are not filtered");
}

/* What serves, in the order of its making. */
struct house {
    struct sockets sockets;
    struct server server;
    struct keeper keeper;
    struct sidedoor *sidedoor; /* NULL: none */
    struct acceptor *acceptor;
};

/* Connections are taken as soon as the models are opened, so that probes are answered while they
 * load; or, where another process serves until then, when all are loaded. */
static int open_doors(struct house *h, struct err *e)
{
    int rc = h->sockets.predecessor >= 0 ? keeper_await(&h->keeper, e) : 0;

    if (!rc && h->sockets.status.fd >= 0)
        rc = sidedoor_open(&h->sidedoor, &h->server, &h->sockets, e);
    if (!rc)
        rc = acceptor_create(&h->acceptor, &h->server, &h->sockets.listen, e);
    if (!rc)
        sockets_serve(&h->sockets);
    return rc;
}

/* New requests are still accepted while old ones finish: they read 503 and go elsewhere, where they
 * would otherwise wait in the backlog for a process that is going away.  Not so where another one
 * has the socket, or will have it: then they wait for that. */
static int serve(struct house *h)
{
    int failed = keeper_serve(&h->keeper);
    bool has_heir = h->server.succession != SUCCESSION_NONE;

    if (has_heir) {
        sidedoor_close(h->sidedoor);
        h->sidedoor = NULL;
        sockets_leave(&h->sockets);
    }
    keeper_drain(&h->keeper, h->acceptor, has_heir || h->sockets.listen.is_kept);
    if (!acceptor_stop(h->acceptor, LAST_WORDS_MS) || h->keeper.stalled) {
        log_msg(LOG_WARN, "stop", "%s; leaving it so",
                h->keeper.stalled ? "an engine hangs" : "some requests did not end");
        sockets_done(&h->sockets);
        _exit(failed);
    }
    acceptor_free(h->acceptor);
    return failed;
}

/* The sockets come first, so that a mistake there is told before seconds are spent on models. */
static int run(const struct reading *reading, struct config *c, struct err *e)
{
    struct house h = {
        .keeper = { .server = &h.server, .reading = reading, .sockets = &h.sockets },
    };
    int rc = sockets_open(&h.sockets, c, e), failed = 0;

    if (!rc)
        rc = signals_catch(e);
    if (rc) {
        config_free(c);
        goto out;
    }
    notify_open();
    rc = server_open(&h.server, c, e);
    if (rc)
        goto out;
    log_start(c, &h.sockets);
    config_warn(environ);
    if (h.server.current->config->manifest)
        manifest_warn(h.server.current->config->manifest);
    close_in(&h.server);
    rc = open_doors(&h, e);
    if (!rc)
        failed = serve(&h);
    sidedoor_close(h.sidedoor);
    server_close(&h.server);
    if (!rc)
        log_msg(LOG_INFO, "stop", "ended");
    if (failed) {
        *e = h.keeper.why;
        rc = e->code;
    }
out:
    notify_close();
    sockets_done(&h.sockets);
    return rc;
}

/* CUDA has a variable of its own for which devices there are, and reads it when it starts; graphs
 * have one of ours. */
static void choose_devices(void)
{
    const char *devices = getenv("TAKEOFF_CUDA_VISIBLE_DEVICES");
    const char *no_graphs = getenv("TAKEOFF_DISABLE_CUDA_GRAPH");

    if (devices && *devices)
        setenv("CUDA_VISIBLE_DEVICES", devices, 1);
    if (no_graphs && *no_graphs && strcmp(no_graphs, "0") != 0 &&
        strcasecmp(no_graphs, "false") != 0)
        setenv("AIRSTRIP_CUDA_GRAPHS", "0", 0);
}

int main(int argc, char **argv)
{
    const struct reading reading = { argc, argv };
    enum config_action action = CONFIG_RUN;
    struct config *c;
    struct err e = { 0 };
    bool has_log = false;
    int rc;

    choose_devices();
    heap_share();
    c = config_create();
    rc = c ? 0 : err_set(&e, ERR_NOMEM, "no memory for the configuration");
    if (!rc)
        rc = reading_do(&reading, c, &action, &e);
    if (!rc && c->manifest)
        manifest_export(c->manifest);
    if (!rc && action == CONFIG_HELP) {
        print_help();
    } else if (!rc && action == CONFIG_VERSION) {
        printf("airstrip %s\n", PACKAGE_VERSION);
    } else if (!rc && (action == CONFIG_MAKE_KEY || action == CONFIG_HASH_KEY)) {
        rc = make_key(c->key_name, action == CONFIG_MAKE_KEY, &e);
    } else if (!rc && c->check) {
        rc = check(c);
    } else if (!rc) {
        log_set_level(c->log_level);
        rc = c->log ? log_open(c->log, &e) : 0;
        has_log = !rc && c->log;
        if (!rc)
            rc = access_log_open(c->access_log, &e);
        if (!rc && responder_init())
            rc = err_set(&e, ERR_INTERNAL, "libfcgi cannot be set up");
        if (!rc)
            rc = launch_open(c, &e);
        if (!rc && launch_follows()) {
            rc = launch_follow(c, &e);
        } else if (!rc) {
            rc = run(&reading, c, &e);
            c = NULL;
        }
    }
    if (rc && action == CONFIG_RUN && !(c && c->check))
        launch_refuse(c, &e);
    if (e.code) {
        fprintf(stderr, "airstrip: %s\n", e.text);
        /* spawn-fcgi sends standard error to nowhere. */
        if (has_log || (c && c->log && !c->check && !log_open(c->log, NULL)))
            log_msg(LOG_ERROR, "start", "%s", e.text);
    }
    config_free(c);
    if (!launch_close())
        _exit(1);
    return rc ? 1 : 0;
}
