/* main - airstrip: reads the configuration, opens the models, serves until told to stop. */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "fcgi/acceptor.h"
#include "fcgi/access_log.h"
#include "fcgi/app.h"
#include "fcgi/config_keys.h"
#include "fcgi/keeper.h"
#include "fcgi/listener.h"
#include "fcgi/make_key.h"
#include "fcgi/notify.h"
#include "fcgi/reading.h"
#include "fcgi/responder.h"
#include "fcgi/server.h"
#include "fcgi/sidedoor.h"
#include "fcgi/signals.h"
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

/* --check: every model and the keys, with a sentence for each thing that is wrong. */
static int check(const struct config *c)
{
    struct engine_config ec;
    struct auth *auth = NULL;
    struct err e;
    int bad = 0;

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
    if (!bad)
        fprintf(stderr, "airstrip: all is well: %zu model%s\n", c->n_models,
                c->n_models == 1 ? "" : "s");
    return bad;
}

/* The one line that tells what this process was asked to be. */
static void log_start(const struct config *c, const struct listener *l)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "start");
    log_str(&line, "version", PACKAGE_VERSION);
    log_int(&line, "pid", getpid());
    log_str(&line, "config", c->file);
    log_str(&line, "listen", l->name);
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

/* The socket comes first, so that a mistake there is told before seconds are spent on models;
 * connections are taken as soon as the models are opened, so that probes are answered while they
 * load. */
static int run(const struct reading *reading, struct config *c, struct err *e)
{
    struct listener listener, status = { .fd = -1 };
    struct acceptor *acceptor = NULL;
    struct sidedoor *sidedoor = NULL;
    struct server server;
    struct keeper keeper = { .server = &server, .reading = reading };
    int rc, failed;

    rc = listener_open(&listener, c->listen, c->listen_mode, e);
    if (!rc && c->status_listen)
        rc = listener_open(&status, c->status_listen, c->listen_mode, e);
    if (!rc)
        rc = signals_catch(e);
    if (rc) {
        config_free(c);
        goto out;
    }
    notify_open();
    rc = server_open(&server, c, e);
    if (rc)
        goto out;
    log_start(c, &listener);
    config_warn(environ);
    if (status.fd >= 0)
        rc = sidedoor_open(&sidedoor, &server, &status, e);
    if (!rc)
        rc = acceptor_create(&acceptor, &server, &listener, e);
    if (rc) {
        sidedoor_close(sidedoor);
        server_close(&server);
        goto out;
    }
    /* New requests are still accepted while old ones finish: they read 503 and go elsewhere, where
     * they would otherwise wait in the backlog for a process that is going away. */
    failed = keeper_serve(&keeper);
    keeper_drain(&keeper, acceptor);
    if (acceptor_stop(acceptor, LAST_WORDS_MS) && !keeper.stalled) {
        acceptor_free(acceptor);
        sidedoor_close(sidedoor);
        server_close(&server);
    } else {
        log_msg(LOG_WARN, "stop", "%s; leaving it so",
                keeper.stalled ? "an engine hangs" : "some requests did not end");
        if (*listener.path)
            unlink(listener.path);
        if (*status.path)
            unlink(status.path);
        _exit(failed);
    }
    log_msg(LOG_INFO, "stop", "ended");
    if (failed)
        rc = err_set(e, ERR_IO, "no model could be loaded");
out:
    notify_close();
    listener_done(&listener);
    listener_done(&status);
    return rc;
}

int main(int argc, char **argv)
{
    const struct reading reading = { argc, argv };
    enum config_action action = CONFIG_RUN;
    struct config *c = config_create();
    struct err e = { 0 };
    bool has_log = false;
    int rc = c ? 0 : err_set(&e, ERR_NOMEM, "no memory for the configuration");

    if (!rc)
        rc = reading_do(&reading, c, &action, &e);
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
        if (!rc) {
            rc = run(&reading, c, &e);
            c = NULL;
        }
    }
    if (e.code) {
        fprintf(stderr, "airstrip: %s\n", e.text);
        /* spawn-fcgi sends standard error to nowhere. */
        if (has_log || (c && c->log && !c->check && !log_open(c->log, NULL)))
            log_msg(LOG_ERROR, "start", "%s", e.text);
    }
    config_free(c);
    return rc ? 1 : 0;
}
