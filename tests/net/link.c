/* link.c - a link of chosen delay, rate and loss between two network namespaces, in user space.
 *
 *   link NETNS_A DEVICE_A NETNS_B DEVICE_B
 *
 * makes a TUN device in each of two namespaces (files such as /run/netns/NAME) and carries packets
 * between them.  For kernels that lack netem; nets.py is who starts it.  Each line on standard
 * input is a setting of both directions, answered by "ok" or a sentence:
 *
 *   DELAY_US RATE_BIT LOSS_PPM QUEUE_BYTES
 *
 * microseconds one way; bits of IP packets a second, 0 for no limit; packets lost in a million,
 * 1000000 for a link that is cut; bytes that may wait to be sent, beyond which packets are dropped.
 * It ends with its standard input, so that it does not outlive who started it.
 *
 * A packet that comes at time t is on the wire from max(t, the end of the one before) for
 * length / rate, and arrives a delay after that.  Order is kept. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_MAX = 65536, AT_ONCE = 64 };

struct packet {
    struct packet *next;
    uint64_t due_ns; /* when it arrives */
    size_t bytes;
    unsigned char data[];
};

/* One direction: what it reads from one device it writes to the other. */
struct way {
    int from, to;         /* TUN devices, not blocking */
    uint64_t free_ns;     /* when the wire has sent all that came */
    struct packet *first; /* in order of arrival; owned */
    struct packet **last; /* where the next one is put */
};

struct setting {
    uint64_t delay_ns, rate_bit, loss_ppm, queue_bytes;
};

struct link {
    struct setting set;
    struct way way[2];
    int timer;
    uint64_t random; /* state of xorshift64*, never 0 */
    char line[128];  /* of standard input, so far */
    size_t line_bytes;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators". */
static uint64_t draw(struct link *l)
{
    l->random ^= l->random >> 12;
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;
    return l->random * 2685821657736338717U;
}

/* A TUN device of that name in the namespace of a file, or -1 after a sentence on standard error.
 * The device belongs to the namespace that its descriptor was opened in, so the process goes there.
 */
static int open_tun(const char *netns, const char *name)
{
    struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    int ns = open(netns, O_RDONLY | O_CLOEXEC), fd = -1;

    if (ns < 0 || setns(ns, CLONE_NEWNET)) {
        fprintf(stderr, "link: cannot enter the namespace %s: %s\n", netns, strerror(errno));
    } else if ((fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0) {
        fprintf(stderr, "link: /dev/net/tun: %s\n", strerror(errno));
    } else {
        snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
        if (ioctl(fd, TUNSETIFF, &r)) {
            fprintf(stderr, "link: no TUN device %s: %s\n", name, strerror(errno));
            close(fd);
            fd = -1;
        }
    }
    if (ns >= 0)
        close(ns);
    return fd;
}

/* How many bytes wait for the wire, by the time that they will need. */
static uint64_t waiting(const struct link *l, const struct way *w, uint64_t now)
{
    return w->free_ns > now ? (w->free_ns - now) / 1000 * (l->set.rate_bit / 8) / 1000000 : 0;
}

/* Takes a packet that has come, or loses it. */
static void carry(struct link *l, struct way *w, const unsigned char *data, size_t bytes,
                  uint64_t now)
{
    const struct setting *s = &l->set;
    uint64_t sent = w->free_ns > now ? w->free_ns : now;
    struct packet *p;

    if (s->loss_ppm && draw(l) % 1000000 < s->loss_ppm)
        return;
    if (s->rate_bit) {
        if (waiting(l, w, now) + bytes > s->queue_bytes && sent > now)
            return;
        sent += bytes * 8U * 1000000000U / s->rate_bit;
    }
    p = malloc(sizeof *p + bytes);
    if (!p)
        return;
    w->free_ns = sent;
    *p = (struct packet){ .due_ns = sent + s->delay_ns, .bytes = bytes };
    memcpy(p->data, data, bytes);
    *w->last = p;
    w->last = &p->next;
}

/* Reads what a device has sent, some packets at a time so that others have their turn. */
static void take(struct link *l, struct way *w)
{
    static unsigned char data[PACKET_MAX];

    for (int i = 0; i < AT_ONCE; i++) {
        ssize_t n = read(w->from, data, sizeof data);

        if (n <= 0)
            return;
        carry(l, w, data, (size_t)n, now_ns());
    }
}

/* Hands over what has arrived.  A device that is down refuses it: then it is lost, as on a wire. */
static void deliver(struct way *w)
{
    while (w->first && w->first->due_ns <= now_ns()) {
        struct packet *p = w->first;

        if (write(w->to, p->data, p->bytes) < 0 && errno == EAGAIN)
            return;
        w->first = p->next;
        if (!w->first)
            w->last = &w->first;
        free(p);
    }
}

/* Wakes poll() when the next packet of either direction arrives. */
static void arm(struct link *l)
{
    struct itimerspec t = { 0 };
    uint64_t next = UINT64_MAX;

    for (int i = 0; i < 2; i++)
        if (l->way[i].first && l->way[i].first->due_ns < next)
            next = l->way[i].first->due_ns;
    if (next != UINT64_MAX) {
        t.it_value.tv_sec = (time_t)(next / 1000000000U);
        t.it_value.tv_nsec = (long)(next % 1000000000U);
    }
    timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

/* One line of standard input. */
static void obey(struct link *l, const char *line)
{
    uint64_t us, rate, loss, queue;
    char rest;

    if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 "%c", &us, &rate, &loss, &queue,
               &rest) != 4 ||
        us > 60000000 || loss > 1000000) {
        printf("expected DELAY_US RATE_BIT LOSS_PPM QUEUE_BYTES, found '%s'\n", line);
    } else {
        l->set = (struct setting){ us * 1000, rate, loss, queue };
        for (int i = 0; i < 2; i++) /* what waited at the old rate does not hold up the new one */
            l->way[i].free_ns = 0;
        printf("ok\n");
    }
    fflush(stdout);
}

/* 0, or -1 when standard input has ended. */
static int read_lines(struct link *l)
{
    ssize_t n = read(STDIN_FILENO, l->line + l->line_bytes, sizeof l->line - 1 - l->line_bytes);
    char *end;

    if (n <= 0)
        return n < 0 && (errno == EINTR || errno == EAGAIN) ? 0 : -1;
    l->line_bytes += (size_t)n;
    l->line[l->line_bytes] = '\0';
    while ((end = strchr(l->line, '\n'))) {
        *end = '\0';
        obey(l, l->line);
        l->line_bytes -= (size_t)(end + 1 - l->line);
        memmove(l->line, end + 1, l->line_bytes + 1);
    }
    return l->line_bytes < sizeof l->line - 1 ? 0 : -1;
}

static void run(struct link *l)
{
    struct pollfd p[] = { { .fd = STDIN_FILENO, .events = POLLIN },
                          { .fd = l->timer, .events = POLLIN },
                          { .fd = l->way[0].from, .events = POLLIN },
                          { .fd = l->way[1].from, .events = POLLIN } };

    for (;;) {
        arm(l);
        if (poll(p, 4, -1) < 0 && errno != EINTR)
            return;
        if (p[0].revents && read_lines(l))
            return;
        for (int i = 0; i < 2; i++) {
            if (p[2 + i].revents)
                take(l, &l->way[i]);
            deliver(&l->way[i]);
        }
    }
}

int main(int argc, char **argv)
{
    struct link l = { .random = (uint64_t)getpid() << 32 | 1 };
    struct packet *p;
    int tun[2];

    if (argc != 5) {
        fprintf(stderr, "usage: link NETNS_A DEVICE_A NETNS_B DEVICE_B\n");
        return 2;
    }
    for (int i = 0; i < 2; i++)
        if ((tun[i] = open_tun(argv[1 + 2 * i], argv[2 + 2 * i])) < 0)
            return 1;
    for (int i = 0; i < 2; i++) {
        l.way[i] = (struct way){ .from = tun[i], .to = tun[1 - i] };
        l.way[i].last = &l.way[i].first;
    }
    l.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l.timer < 0) {
        fprintf(stderr, "link: no timer: %s\n", strerror(errno));
        return 1;
    }
    run(&l);
    for (int i = 0; i < 2; i++)
        while ((p = l.way[i].first)) {
            l.way[i].first = p->next;
            free(p);
        }
    return 0;
}
