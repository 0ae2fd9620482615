/* Addresses are kept as their bytes in network order, and compared as such: one address has many
 * notations. */
#include "fcgi/allow.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define BETWEEN ", \t"

struct net {
    unsigned char bytes[16]; /* 4 of them where is_v4; none is set beyond the prefix */
    bool is_v4;
    unsigned char prefix; /* bits */
};

struct allow {
    const char *key;
    size_t n;
    struct net nets[]; /* [n] */
};

/* --- addresses --- */

/* The address's bytes into n, with all their bits as prefix; false where it is no IP address. */
static bool take_address(struct net *n, const struct sockaddr_storage *a)
{
    const struct sockaddr_in *v4 = (const void *)a;
    const struct sockaddr_in6 *v6 = (const void *)a;

    *n = (struct net){ .is_v4 = a->ss_family == AF_INET };
    if (a->ss_family == AF_INET) {
        memcpy(n->bytes, &v4->sin_addr, 4);
    } else if (a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(n->bytes, v6->sin6_addr.s6_addr + 12, 4);
        n->is_v4 = true;
    } else if (a->ss_family == AF_INET6) {
        memcpy(n->bytes, &v6->sin6_addr, 16);
    } else {
        return false;
    }
    n->prefix = n->is_v4 ? 32 : 128;
    return true;
}

/* Clears the bits beyond the prefix; whether any of them was set. */
static bool cut(struct net *n)
{
    bool had_more = false;

    for (unsigned i = 0; i < sizeof n->bytes; i++) {
        unsigned kept = n->prefix >= 8 * (i + 1) ? 8 : n->prefix <= 8 * i ? 0 : n->prefix - 8 * i;
        unsigned char mask = (unsigned char)(0xff00 >> kept);

        had_more |= n->bytes[i] & (unsigned char)~mask;
        n->bytes[i] &= mask;
    }
    return had_more;
}

static bool contains(const struct net *n, const struct net *address)
{
    struct net a = *address;

    if (a.is_v4 != n->is_v4)
        return false;
    a.prefix = n->prefix;
    cut(&a);
    return !memcmp(a.bytes, n->bytes, sizeof a.bytes);
}

/* --- the text --- */

/* "/24" and nothing else, at most max; false otherwise. */
static bool take_prefix(const char *text, unsigned max, unsigned char *prefix)
{
    size_t len = strspn(text + 1, "0123456789");
    unsigned n = 0;

    if (!len || len > 3 || text[1 + len])
        return false;
    for (size_t i = 1; i <= len; i++)
        n = n * 10 + (unsigned)(text[i] - '0');
    *prefix = (unsigned char)n;
    return n <= max;
}

/* ::ffff:a.b.c.d/96+n is how the kernel shows IPv4 to an IPv6 socket, and may be written so. */
static void unmap(struct net *n)
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (n->is_v4 || n->prefix < 96 || memcmp(n->bytes, mapped, sizeof mapped) != 0)
        return;
    memmove(n->bytes, n->bytes + 12, 4);
    memset(n->bytes + 4, 0, 12);
    n->is_v4 = true;
    n->prefix = (unsigned char)(n->prefix - 96);
}

/* One item of the list, which begins at character `at`. */
static int parse_one(struct net *n, const char *key, const char *item, size_t len, size_t at,
                     struct err *e)
{
    char text[INET6_ADDRSTRLEN + 8], network[INET6_ADDRSTRLEN];
    size_t address = strcspn(item, BETWEEN "/");

    *n = (struct net){ .prefix = 32 };
    if (len >= sizeof text)
        goto bad;
    memcpy(text, item, len);
    text[len] = '\0';
    if (address < len)
        text[address] = '\0';
    n->is_v4 = inet_pton(AF_INET, text, n->bytes) == 1;
    if (!n->is_v4) {
        n->prefix = 128;
        if (inet_pton(AF_INET6, text, n->bytes) != 1)
            goto bad;
    }
    if (address < len) {
        unsigned most = n->prefix;

        text[address] = '/';
        if (!take_prefix(text + address, most, &n->prefix))
            return err_param(e, key, ERR_INVALID,
                             "%s: expected the length of a prefix from 0 to %u behind the slash, "
                             "found \"%s\" at character %zu",
                             key, most, text, at);
    }
    if (cut(n)) {
        inet_ntop(n->is_v4 ? AF_INET : AF_INET6, n->bytes, network, sizeof network);
        return err_param(e, key, ERR_INVALID,
                         "%s: %s at character %zu is an address with the prefix of a network: "
                         "expected the address alone, or the network %s/%u",
                         key, text, at, network, n->prefix);
    }
    unmap(n);
    return 0;
bad:
    return err_param(e, key, ERR_INVALID,
                     "%s: expected an address such as 192.168.1.7 or a network such as 10.0.0.0/8 "
                     "or fd00::/8, found \"%.*s\" at character %zu",
                     key, (int)(len < 60 ? len : 60), item, at);
}

/* Goes from one item to the next; its length, 0 at the end. */
static size_t next(const char **at)
{
    *at += strspn(*at, BETWEEN);
    return strcspn(*at, BETWEEN);
}

int allow_parse(const struct allow **out, const char *key, const char *text, struct arena *a,
                struct err *e)
{
    const char *at = text;
    size_t n = 0, len;
    struct allow *l;

    for (; (len = next(&at)); at += len)
        if (n++ == ALLOW_MAX)
            return err_param(e, key, ERR_INVALID,
                             "%s: expected at most %d addresses and networks, found more", key,
                             ALLOW_MAX);
    if (!n)
        return err_param(e, key, ERR_INVALID, "%s: expected addresses, found none", key);
    l = arena_alloc(a, sizeof *l + n * sizeof *l->nets);
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for %s", key);
    l->key = key;
    for (at = text; (len = next(&at)); at += len) {
        int rc = parse_one(&l->nets[l->n++], key, at, len, (size_t)(at - text) + 1, e);

        if (rc)
            return rc;
    }
    *out = l;
    return 0;
}

/* --- what it is for --- */

bool allow_has(const struct allow *l, const struct sockaddr_storage *peer)
{
    struct net address;

    if (!take_address(&address, peer))
        return false;
    for (size_t i = 0; i < l->n; i++)
        if (contains(&l->nets[i], &address))
            return true;
    return false;
}

const char *allow_key(const struct allow *l)
{
    return l->key;
}

static bool is_loopback(const struct net *a)
{
    static const struct net ours[] = { { { 127 }, true, 8 }, { { [15] = 1 }, false, 128 } };

    return contains(&ours[0], a) || contains(&ours[1], a);
}

int allow_check(const struct allow *l, const struct sockaddr_storage *bound, const char *key,
                const char *where, struct err *e)
{
    struct net address;

    if (bound->ss_family == AF_UNIX)
        return 0;
    if (!take_address(&address, bound))
        return err_set(e, ERR_INVALID,
                       "%.120s: expected a Unix or TCP socket, found one of address family %d",
                       where, bound->ss_family);
    if (l || is_loopback(&address))
        return 0;
    return err_param(e, key, ERR_INVALID,
                     "%.120s can be reached from other hosts, and FastCGI has no passwords: write "
                     "%s = ADDRESSES with those that may connect, such as 10.0.0.0/8, 192.168.1.7 "
                     "(airstrip-cluster(7)), or listen on 127.0.0.1 or a Unix socket",
                     where, key);
}
