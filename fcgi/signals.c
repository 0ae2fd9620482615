#include "fcgi/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int signal_pipe[2];

static void put(unsigned char byte)
{
    int saved = errno;
    ssize_t n = write(signal_pipe[1], &byte, 1);

    (void)n;
    errno = saved;
}

static void on_signal(int number)
{
    put((unsigned char)number);
}

int signals_catch(struct err *e)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1 };
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
    signal(SIGXFSZ, SIG_IGN); /* a log at its limit (RLIMIT_FSIZE) is an error of write() */
    return 0;
}

int signals_next(int timeout_ms)
{
    struct timespec t = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
    struct pollfd p = { .fd = signal_pipe[0], .events = POLLIN };
    unsigned char byte;
    sigset_t none;

    sigemptyset(&none);
    ppoll(&p, 1, timeout_ms < 0 ? NULL : &t, &none);
    return read(signal_pipe[0], &byte, 1) == 1 ? byte : 0;
}

bool signals_stop(int number)
{
    return number == SIGTERM || number == SIGINT || number == SIGQUIT;
}

void signals_wake(void)
{
    put(SIGNALS_WAKE);
}
