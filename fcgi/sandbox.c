/* sandbox.c - the list of what is allowed, by libseccomp.
 *
 * What is not on it raises SIGSYS in the thread that called; the handler makes the call return
 * EPERM and notes its number, which main tells in the log.  So a call that a library makes on some
 * machine and that nobody thought of costs what that call was for, and not the process. */
#include "fcgi/sandbox.h"

#include <config.h>

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "kernels/base/log.h"

/* prctl(2), arch_prctl(2): numbers that older headers lack. */
enum { SET_VMA = 0x53564d41, ARCH_GET_XCOMP_SUPP = 0x1021, ARCH_REQ_XCOMP_PERM = 0x1023 };
enum { MAX_NUMBER = 1024 };

/* clang-format off */
static const char *const allowed[] = {
    /* descriptors that there are */
    "read", "readv", "pread64", "write", "writev", "pwrite64", "lseek", "_llseek", "close", "fstat",
    "fcntl", "dup", "dup2", "dup3", "getdents64", "fstatfs", "fadvise64",
    /* files are opened: models, configuration, keys at SIGHUP, logs at SIGUSR1; our sockets removed */
    "open", "openat", "stat", "lstat", "newfstatat", "statx", "statfs", "access", "faccessat",
    "faccessat2", "readlink", "readlinkat", "getcwd", "unlink", "unlinkat",
    /* memory; what is executable too, for PCRE2's machine code */
    "mmap", "munmap", "mremap", "mprotect", "madvise", "brk",
    /* threads */
    "futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "getcpu", "gettid",
    "getpid", "exit", "exit_group", "membarrier", "set_tid_address",
    /* waiting */
    "poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait",
    "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe", "pipe2", "nanosleep", "clock_nanosleep",
    "restart_syscall",
    /* connections that others make */
    "accept", "accept4", "recvfrom", "recvmsg", "sendto", "sendmsg", "shutdown", "getsockopt",
    "setsockopt", "getsockname", "getpeername",
    /* signals */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending",
    "sigaltstack",
    /* what is the case */
    "clock_gettime", "clock_getres", "gettimeofday", "time", "getrandom", "uname", "sysinfo",
    "getrlimit", "getrusage", "getuid", "geteuid", "getgid", "getegid",
};
/* clang-format on */

static atomic_uint refused[MAX_NUMBER]; /* times, by the call's number; since last told */
static atomic_bool any_refused;

/* Async-signal-safe: it touches nothing but its own. */
static void on_refused(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    int call = info->si_syscall;

    (void)number;
    atomic_fetch_add(&refused[call >= 0 && call < MAX_NUMBER ? call : 0], 1);
    atomic_store(&any_refused, true);
    SYSCALL_RESULT(uc) = -EPERM;
}

void sandbox_look(void)
{
    if (!atomic_exchange(&any_refused, false))
        return;
    for (int i = 0; i < MAX_NUMBER; i++) {
        unsigned n = atomic_exchange(&refused[i], 0);
        char *name = n ? seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i) : NULL;

        if (n)
            log_msg(LOG_ERROR, "sandbox", "refused system call %s (%d), %u times",
                    name ? name : "?", i, n);
        free(name);
    }
}

static int allow(scmp_filter_ctx f, const char *name)
{
    int call = seccomp_syscall_resolve_name(name);

    /* Not known to this libseccomp, or no call of this processor's: nothing to allow. */
    return call < 0 ? 0 : seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 0);
}

static int allow_if(scmp_filter_ctx f, const char *name, struct scmp_arg_cmp cmp)
{
    int call = seccomp_syscall_resolve_name(name);

    return call < 0 ? 0 : seccomp_rule_add_array(f, SCMP_ACT_ALLOW, call, 1, &cmp);
}

/* What is allowed by what is asked of it. */
static int allow_in_part(scmp_filter_ctx f)
{
    const scmp_datum_t self = (scmp_datum_t)getpid();
    int clone3 = seccomp_syscall_resolve_name("clone3"), rc;

    rc = allow_if(f, "clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    /* Its flags lie in memory, where no filter can look: the C library then takes clone. */
    if (!rc && clone3 >= 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), clone3, 0);
    if (!rc) /* limits are read, not set */
        rc = allow_if(f, "prlimit64", SCMP_A2_64(SCMP_CMP_EQ, 0));
    if (!rc)
        rc = allow_if(f, "ioctl", SCMP_A1_32(SCMP_CMP_EQ, TCGETS));
    if (!rc)
        rc = allow_if(f, "ioctl", SCMP_A1_32(SCMP_CMP_EQ, FIONREAD));
    if (!rc) /* abort() */
        rc = allow_if(f, "tgkill", SCMP_A0_32(SCMP_CMP_EQ, self));
    if (!rc) /* names of threads and of memory */
        rc = allow_if(f, "prctl", SCMP_A0_32(SCMP_CMP_EQ, PR_SET_NAME));
    if (!rc)
        rc = allow_if(f, "prctl", SCMP_A0_32(SCMP_CMP_EQ, SET_VMA));
    /* A model that is loaded later asks for AMX's tiles again. */
    for (scmp_datum_t op = ARCH_GET_XCOMP_SUPP; !rc && op <= ARCH_REQ_XCOMP_PERM; op++)
        rc = allow_if(f, "arch_prctl", SCMP_A0_32(SCMP_CMP_EQ, op));
    return rc;
}

static int fill(scmp_filter_ctx f)
{
    /* All threads at once; those that begin later inherit it. */
    int rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);

    for (size_t i = 0; !rc && i < sizeof allowed / sizeof *allowed; i++)
        rc = allow(f, allowed[i]);
    return rc ? rc : allow_in_part(f);
}

int sandbox_enter(enum sandbox how, struct err *e)
{
    struct sigaction act = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_NODEFER };
    scmp_filter_ctx f;
    int rc;

    if (how == SANDBOX_OFF)
        return 0;
    f = seccomp_init(how == SANDBOX_LOG ? SCMP_ACT_LOG : SCMP_ACT_TRAP);
    if (!f)
        return err_set(e, ERR_NOMEM, "no memory for a filter of system calls");
    sigaction(SIGSYS, &act, NULL);
    rc = fill(f);
    if (!rc)
        rc = seccomp_load(f);
    seccomp_release(f);
    if (!rc)
        return 0;
    return err_set(e,
                   rc == -EINVAL || rc == -ENOSYS || rc == -EOPNOTSUPP ? ERR_UNSUPPORTED : ERR_IO,
                   "the kernel takes no filter of system calls: %s", strerror(-rc));
}
