#include "fcgi/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int fd = -1;

/* A path, or a name in the abstract namespace, which begins with '@'. */
void notify_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    size_t len = path ? strlen(path) : 0;

    if (!len || len >= sizeof a.sun_path || (*path != '/' && *path != '@'))
        return;
    memcpy(a.sun_path, path, len);
    if (*path == '@')
        a.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)))
        notify_close();
}

void notify_close(void)
{
    if (fd >= 0)
        close(fd);
    fd = -1;
}

void notify(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    ssize_t n;

    if (fd < 0)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    n = send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n; /* a manager that does not listen is no reason to stop */
}

/* The variable is meant for us only where $WATCHDOG_PID is us or absent. */
void notify_alive(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (fd >= 0 && usec && (!pid || strtol(pid, NULL, 10) == getpid()))
        notify("WATCHDOG=1");
}
