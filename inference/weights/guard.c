/* A fixed table, since a signal handler may take no lock and allocate nothing. */
#include "inference/weights/guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_MAPPINGS = 1024 };

static struct slot {
    _Atomic uintptr_t base; /* 0: free; set last, cleared first */
    size_t bytes;
    atomic_bool lost;
} slots[MAX_MAPPINGS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of entering and leaving */
static uintptr_t page_bytes;

static struct slot *holder(uintptr_t address)
{
    for (size_t i = 0; i < MAX_MAPPINGS; i++) {
        uintptr_t base = atomic_load(&slots[i].base);

        if (base && address >= base && address - base < slots[i].bytes)
            return &slots[i];
    }
    return NULL;
}

/* What follows a lost page is lost as well, and is replaced at once rather than page by page. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    uintptr_t address = (uintptr_t)info->si_addr, page = address & ~(page_bytes - 1);
    struct slot *s = holder(address);

    (void)context;
    if (s) {
        size_t rest = s->bytes - (page - atomic_load(&s->base));

        if (mmap((void *)page, rest, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
            MAP_FAILED) {
            atomic_store(&s->lost, true);
            return;
        }
    }
    signal(number, SIG_DFL); /* the same instruction raises it again */
}

void guard_install(void)
{
    struct sigaction act = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_RESTART };

    page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigaction(SIGBUS, &act, NULL);
}

void guard_enter(const void *base, size_t bytes)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_MAPPINGS; i++)
        if (!atomic_load(&slots[i].base)) {
            slots[i].bytes = bytes;
            atomic_store(&slots[i].lost, false);
            atomic_store(&slots[i].base, (uintptr_t)base);
            break;
        }
    pthread_mutex_unlock(&lock);
}

static struct slot *find(const void *base)
{
    for (size_t i = 0; i < MAX_MAPPINGS; i++)
        if (atomic_load(&slots[i].base) == (uintptr_t)base)
            return &slots[i];
    return NULL;
}

void guard_leave(const void *base)
{
    struct slot *s;

    pthread_mutex_lock(&lock);
    s = find(base);
    if (s)
        atomic_store(&s->base, 0);
    pthread_mutex_unlock(&lock);
}

bool guard_lost(const void *base)
{
    const struct slot *s = find(base);

    return s && atomic_load(&s->lost);
}
