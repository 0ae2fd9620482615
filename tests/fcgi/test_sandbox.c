/* sandbox: in a child each, what is refused, by which error, and what still works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "fcgi/sandbox.h"
#include "kernels/base/log.h"

static char folder[] = "/tmp/airstrip-sandbox-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[80];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* What the child says by its exit status. */
enum { FINE, NO_FILTER, BAD = 10 };

static int child(int (*run)(void *), void *arg)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (!pid)
        _exit(run(arg));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status)); /* and not by a signal */
    return WEXITSTATUS(status);
}

static int enter(void *arg)
{
    struct err e;

    (void)arg;
    return sandbox_enter(SANDBOX_ON, &e) ? NO_FILTER : FINE;
}

/* --- refused --- */

struct refused {
    const char *name;
    long call, args[4];
};

static int try_refused(void *arg)
{
    const struct refused *r = arg;

    if (enter(NULL))
        return NO_FILTER;
    errno = 0;
    if (syscall(r->call, r->args[0], r->args[1], r->args[2], r->args[3]) != -1)
        return BAD;
    return errno == EPERM ? FINE : BAD + 1;
}

static void what_serving_does_not_need_is_refused(void **state)
{
    static char sh[] = "/bin/sh", *argv[] = { sh, NULL };
    const struct refused all[] = {
        { "socket", SYS_socket, { AF_INET, SOCK_STREAM } },
        { "socket", SYS_socket, { AF_UNIX, SOCK_STREAM } },
        { "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM } },
        { "connect", SYS_connect, { 0 } },
        { "bind", SYS_bind, { 0 } },
        { "listen", SYS_listen, { 0 } },
        { "execve", SYS_execve, { (long)sh, (long)argv } },
        { "clone without CLONE_THREAD", SYS_clone, { SIGCHLD } },
        { "unshare", SYS_unshare, { CLONE_NEWUSER } },
        { "ptrace", SYS_ptrace, { PTRACE_TRACEME } },
        { "process_vm_readv", SYS_process_vm_readv, { 1 } },
        { "kill", SYS_kill, { 1, 0 } },
        { "tgkill of another", SYS_tgkill, { 1, 1, 0 } },
        { "setuid", SYS_setuid, { 0 } },
        { "mount", SYS_mount, { 0 } },
        { "chroot", SYS_chroot, { (long)folder } },
        { "mkdirat", SYS_mkdirat, { AT_FDCWD, (long)folder, 0700 } },
        { "renameat2", SYS_renameat2, { AT_FDCWD, (long)folder, AT_FDCWD, (long)folder } },
        { "fchmodat", SYS_fchmodat, { AT_FDCWD, (long)folder, 0777 } },
        { "fchownat", SYS_fchownat, { AT_FDCWD, (long)folder, 1, 1 } },
        { "linkat", SYS_linkat, { AT_FDCWD, (long)folder, AT_FDCWD, (long)folder } },
        { "symlinkat", SYS_symlinkat, { (long)folder, AT_FDCWD, (long)folder } },
        { "ftruncate", SYS_ftruncate, { 1, 0 } },
        { "prlimit64 that sets", SYS_prlimit64, { 0, RLIMIT_CORE, (long)folder, 0 } },
        { "ioctl", SYS_ioctl, { 0, 0x5412 } }, /* TIOCSTI: types into the terminal */
        { "personality", SYS_personality, { 0 } },
        { "keyctl", SYS_keyctl, { 0 } },
        { "bpf", SYS_bpf, { 0 } },
        { "perf_event_open", SYS_perf_event_open, { 0 } },
        { "memfd_create", SYS_memfd_create, { (long)folder } },
        { "prctl, but for names", SYS_prctl, { 38 /* PR_SET_NO_NEW_PRIVS */, 1 } },
    };

    (void)state;
    if (child(enter, NULL) == NO_FILTER)
        skip();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int said = child(try_refused, (void *)(uintptr_t)&all[i]);

        if (said != FINE)
            print_error("%s: %d\n", all[i].name, said);
        assert_int_equal(said, FINE);
    }
}

/* --- allowed --- */

static void *give_back(void *arg)
{
    return arg;
}

static int files(void)
{
    int fd = open(in_folder("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    struct stat st;
    void *map;

    if (fd < 0 || write(fd, "line\n", 5) != 5 || close(fd) || stat(in_folder("log"), &st))
        return BAD;
    fd = open(in_folder("log"), O_RDONLY);
    map = mmap(NULL, 5, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd < 0 || map == MAP_FAILED || memcmp(map, "line\n", 5) || munmap(map, 5) || close(fd))
        return BAD + 1;
    return unlink(in_folder("log")) ? BAD + 2 : FINE;
}

static int threads_and_memory(void)
{
    void *p =
        mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t t[4];
    char values[4];
    void *back;

    if (p == MAP_FAILED || madvise(p, 1 << 20, MADV_DONTNEED) || munmap(p, 1 << 20))
        return BAD + 3;
    for (size_t i = 0; i < 4; i++)
        if (pthread_create(&t[i], NULL, give_back, &values[i]))
            return BAD + 4;
    for (size_t i = 0; i < 4; i++)
        if (pthread_join(t[i], &back) || back != &values[i])
            return BAD + 5;
    free(malloc((size_t)64 << 20));
    return FINE;
}

static int waiting(int listening, int client)
{
    int efd = eventfd(0, EFD_CLOEXEC), ep = epoll_create1(EPOLL_CLOEXEC), pipes[2], fd;
    struct epoll_event ev = { .events = EPOLLIN };
    char text[8] = "";

    if (efd < 0 || ep < 0 || pipe2(pipes, O_CLOEXEC) ||
        epoll_ctl(ep, EPOLL_CTL_ADD, listening, &ev))
        return BAD + 6;
    if (epoll_wait(ep, &ev, 1, 5000) != 1)
        return BAD + 7;
    fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || send(client, "hello", 5, MSG_NOSIGNAL) != 5 || recv(fd, text, 5, 0) != 5)
        return BAD + 8;
    return strcmp(text, "hello") || shutdown(fd, SHUT_RDWR) || close(fd) ? BAD + 9 : FINE;
}

static int try_allowed(void *arg)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int listening = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0), rc;

    (void)arg;
    snprintf(a.sun_path, sizeof a.sun_path, "%s/s", folder);
    if (bind(listening, (struct sockaddr *)&a, sizeof a) || listen(listening, 5) ||
        connect(client, (struct sockaddr *)&a, sizeof a))
        return BAD + 20;
    if (enter(NULL))
        return NO_FILTER;
    rc = files();
    if (!rc)
        rc = threads_and_memory();
    if (!rc)
        rc = waiting(listening, client);
    return rc ? rc : unlink(a.sun_path) ? BAD + 21 : FINE;
}

static void what_serving_needs_is_allowed(void **state)
{
    (void)state;
    if (child(enter, NULL) == NO_FILTER)
        skip();
    assert_int_equal(child(try_allowed, NULL), FINE);
}

/* --- threads, and what the log says --- */

static pthread_barrier_t laid;

static void *older_thread(void *arg)
{
    int *said = arg;

    pthread_barrier_wait(&laid); /* it is there */
    pthread_barrier_wait(&laid); /* the filter is */
    errno = 0;
    *said = socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == EPERM;
    return NULL;
}

/* As the engine's: all signals blocked but those that would end the process. */
static int try_threads(void *arg)
{
    int said = 0, times = 0;
    sigset_t all;
    pthread_t t;
    char line[400];
    FILE *f;

    (void)arg;
    if (log_open(in_folder("log"), NULL) || pthread_barrier_init(&laid, NULL, 2))
        return BAD;
    sigfillset(&all);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    if (pthread_create(&t, NULL, older_thread, &said))
        return BAD + 1;
    pthread_barrier_wait(&laid);
    if (enter(NULL))
        return NO_FILTER;
    pthread_barrier_wait(&laid);
    pthread_join(t, NULL);
    if (!said)
        return BAD + 2;
    (void)!socket(AF_INET, SOCK_STREAM, 0);
    sandbox_look();
    sandbox_look(); /* once is enough */
    f = fopen(in_folder("log"), "r");
    while (f && fgets(line, sizeof line, f))
        if (strstr(line, " error sandbox "))
            times +=
                strstr(line, "refused system call socket (") && strstr(line, "2 times") ? 1 : 100;
    if (f)
        fclose(f);
    return times == 1 ? FINE : BAD + 3;
}

static void threads_that_run_already_are_under_it_and_the_log_says_what_was_refused(void **state)
{
    (void)state;
    if (child(enter, NULL) == NO_FILTER)
        skip();
    assert_int_equal(child(try_threads, NULL), FINE);
    unlink(in_folder("log"));
}

static int try_off(void *arg)
{
    struct err e;

    (void)arg;
    return sandbox_enter(SANDBOX_OFF, &e) || socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? BAD : FINE;
}

static int try_log(void *arg)
{
    struct err e;

    (void)arg;
    if (sandbox_enter(SANDBOX_LOG, &e))
        return NO_FILTER;
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? BAD : FINE;
}

static void off_and_log_refuse_nothing(void **state)
{
    (void)state;
    if (child(try_log, NULL) == NO_FILTER)
        skip();
    assert_int_equal(child(try_off, NULL), FINE);
    assert_int_equal(child(try_log, NULL), FINE);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_serving_does_not_need_is_refused),
        cmocka_unit_test(what_serving_needs_is_allowed),
        cmocka_unit_test(threads_that_run_already_are_under_it_and_the_log_says_what_was_refused),
        cmocka_unit_test(off_and_log_refuse_nothing),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
