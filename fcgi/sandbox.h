/* sandbox.h - a filter of system calls (seccomp(2)) over the whole process, once it is open.
 *
 * What serves needs few of them: it reads files, maps them, takes connections from the sockets that
 * it has, and makes threads.  It opens no connection and no further socket, runs no program, makes
 * no process, renames and changes no file.  So whoever takes it over by a fault in it can do little
 * more than it does.  Main only. */
#ifndef AIRSTRIP_SANDBOX_H
#define AIRSTRIP_SANDBOX_H

#include "kernels/base/err.h"

/* In the order of the configuration's words. */
enum sandbox {
    SANDBOX_ON,  /* other calls fail with EPERM, and the log says which */
    SANDBOX_LOG, /* they are let through, and the kernel's log says which */
    SANDBOX_OFF,
};

/* Lays the filter on all threads that there are and will be; it stays.  Whatever is to be opened
 * for good (sockets above all) comes before.
 * Errors: ERR_UNSUPPORTED where the program or the kernel has no such filter, ERR_IO. */
int sandbox_enter(enum sandbox how, struct err *e) MUST_CHECK;

/* Tells in the log which calls were refused since it was last called. */
void sandbox_look(void);

#endif
