/* main - airstrip: reads the configuration, opens the models, serves until told to stop. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/acceptor.h"
#include "fcgi/app.h"
#include "fcgi/config_keys.h"
#include "fcgi/listener.h"
#include "fcgi/make_key.h"
#include "fcgi/responder.h"
#include "fcgi/server.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

#define DEFAULT_CONFIG SYSCONFDIR "/airstrip/airstrip.conf"

enum { LOADING_POLL_MS = 100, DRAIN_POLL_MS = 20, LAST_WORDS_MS = 3000 };

extern char **environ;

static int signal_pipe[2];

/* A pipe instead of sigwait(): libraries may have started threads before main that block nothing,
 * and a signal that one of them takes must not be lost. */
static void on_signal(int number)
{
    unsigned char byte = (unsigned char)number;
    int saved = errno;
    ssize_t n = write(signal_pipe[1], &byte, 1);

    (void)n;
    errno = saved;
}

static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1 };

/* Blocks our signals in this thread and all that it will make; next_signal() opens them for itself.
 */
static int catch_signals(struct err *e)
{
    struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigset_t set;

    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK))
        return err_set(e, ERR_IO, "cannot make a pipe for signals: %s", strerror(errno));
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigaddset(&set, signals[i]);
        sigaction(signals[i], &act, NULL);
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return 0;
}

/* The next signal, or 0 after timeout_ms (-1: none). */
static int next_signal(int timeout_ms)
{
    struct timespec t = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
    struct pollfd p = { .fd = signal_pipe[0], .events = POLLIN };
    unsigned char byte;
    sigset_t none;

    sigemptyset(&none);
    ppoll(&p, 1, timeout_ms < 0 ? NULL : &t, &none);
    return read(signal_pipe[0], &byte, 1) == 1 ? byte : 0;
}

static bool asks_to_stop(int number)
{
    return number == SIGTERM || number == SIGINT || number == SIGQUIT;
}

static void reopen_log(void)
{
    struct err e;

    if (log_reopen(&e))
        log_msg(LOG_ERROR, "log", "%s", e.text);
    else
        log_msg(LOG_INFO, "log", "reopened");
}

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
        DEFAULT_CONFIG);
    for (const struct config_key *k = config_keys; k->name; k++) {
        printf("  --");
        for (const char *p = k->name; *p; p++)
            putchar(*p == '_' ? '-' : *p);
        printf(" %s\n", k->help);
    }
}

/* File, environment, command line: each over the one before. */
static int read_configuration(struct config *c, int argc, char **argv, enum config_action *action,
                              struct err *e)
{
    const char *from_environment = getenv("AIRSTRIP_CONFIG");
    int rc = config_options(c, argc, argv, true, action, e);

    if (rc || *action != CONFIG_RUN)
        return rc;
    if (!c->file && from_environment && *from_environment)
        c->file = from_environment;
    if (c->file) {
        rc = config_read(c, c->file, e);
    } else if (!access(DEFAULT_CONFIG, F_OK)) {
        c->file = DEFAULT_CONFIG;
        rc = config_read(c, c->file, e);
    }
    if (!rc)
        rc = config_environment(c, environ, e);
    if (!rc)
        rc = config_options(c, argc, argv, false, action, e);
    return rc ? rc : config_finish(c, e);
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

/* Until somebody wants us to stop, or no model could be loaded: 0 or 1. */
/* The polling while models load is for the log and for giving up; who asks /readyz reads the state
 * itself. */
static int serve(struct server *server)
{
    bool settled = false;
    size_t n_ready;

    for (;;) {
        int number = next_signal(settled ? -1 : LOADING_POLL_MS);

        if (asks_to_stop(number)) {
            log_msg(LOG_INFO, "stop", "%s: finishing what runs", strsignal(number));
            return 0;
        }
        if (number)
            reopen_log();
        if (!settled && app_settled(server->current, &n_ready)) {
            settled = true;
            if (!n_ready) {
                log_msg(LOG_ERROR, "stop", "no model could be loaded");
                return 1;
            }
        }
    }
}

/* Lets running requests finish, up to the deadline or a second signal, then ends them with an
 * error. */
static void drain(struct server *server, const struct acceptor *a)
{
    double deadline = clock_ms() + (double)server->current->config->drain_timeout_ms;
    const char *why = NULL;

    server_drain(server);
    while (!why && acceptor_unfinished(a)) {
        int number = next_signal(DRAIN_POLL_MS);

        if (asks_to_stop(number))
            why = "a second signal came";
        else if (number)
            reopen_log();
        else if (clock_ms() > deadline)
            why = "drain_timeout passed";
    }
    if (why)
        log_msg(LOG_WARN, "stop", "%s with %zu requests running: they end now", why,
                acceptor_unfinished(a));
    watcher_stop_all(server->watcher);
}

/* The socket comes first, so that a mistake there is told before seconds are spent on models;
 * connections are taken as soon as the models are opened, so that probes are answered while they
 * load. */
static int run(struct config *c, struct err *e)
{
    struct listener listener;
    struct acceptor *acceptor = NULL;
    struct server server;
    int rc, failed;

    rc = listener_open(&listener, c->listen, c->listen_mode, e);
    if (!rc)
        rc = catch_signals(e);
    if (rc) {
        config_free(c);
        goto out;
    }
    rc = server_open(&server, c, e);
    if (rc)
        goto out;
    log_start(c, &listener);
    config_warn(environ);
    rc = acceptor_create(&acceptor, &server, &listener, e);
    if (rc) {
        server_close(&server);
        goto out;
    }
    /* New requests are still accepted while old ones finish: they read 503 and go elsewhere, where
     * they would otherwise wait in the backlog for a process that is going away. */
    failed = serve(&server);
    drain(&server, acceptor);
    if (acceptor_stop(acceptor, LAST_WORDS_MS)) {
        acceptor_free(acceptor);
        server_close(&server);
    } else {
        log_msg(LOG_WARN, "stop", "some requests did not end; leaving them");
        if (*listener.path)
            unlink(listener.path);
        _exit(failed);
    }
    log_msg(LOG_INFO, "stop", "ended");
    if (failed)
        rc = err_set(e, ERR_IO, "no model could be loaded");
out:
    listener_done(&listener);
    return rc;
}

int main(int argc, char **argv)
{
    enum config_action action = CONFIG_RUN;
    struct config *c = config_create();
    struct err e = { 0 };
    bool has_log = false;
    int rc = c ? 0 : err_set(&e, ERR_NOMEM, "no memory for the configuration");

    if (!rc)
        rc = read_configuration(c, argc, argv, &action, &e);
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
        if (!rc && responder_init())
            rc = err_set(&e, ERR_INTERNAL, "libfcgi cannot be set up");
        if (!rc) {
            rc = run(c, &e);
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
