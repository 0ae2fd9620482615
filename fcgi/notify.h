/* notify.h - what the service manager is told: ready, reloading, stopping, still alive.
 *
 * systemd's protocol (sd_notify(3)): a datagram of NAME=VALUE lines to the socket that
 * $NOTIFY_SOCKET names; without the variable nothing happens.  Main only. */
#ifndef AIRSTRIP_NOTIFY_H
#define AIRSTRIP_NOTIFY_H

#include "kernels/base/err.h"

/* Opens the socket, so that no socket has to be made later. */
void notify_open(void);
void notify_close(void);

/* "READY=1\nSTATUS=...". */
void notify(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* WATCHDOG=1, where the service manager asked for it ($WATCHDOG_USEC); call it every second. */
void notify_alive(void);

#endif
