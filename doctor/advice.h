/* advice.h - which web server it is, and the line that each needs against each fault.
 *
 * A table and nothing else: no state.  Any thread. */
#ifndef AIRSTRIP_DOCTOR_ADVICE_H
#define AIRSTRIP_DOCTOR_ADVICE_H

enum server {
    SERVER_UNKNOWN,
    SERVER_NGINX,
    SERVER_LIGHTTPD,
    SERVER_APACHE,
    SERVER_FCGID, /* Apache with mod_fcgid, if it says so */
    SERVER_HAPROXY,
    SERVER_CADDY,
    N_SERVERS,
};

enum fault {
    FAULT_NONE,
    FAULT_AUTHORIZATION, /* the header does not arrive */
    FAULT_BUFFERED,      /* events come in heaps */
    FAULT_COMPRESSED,    /* events come compressed */
    FAULT_BODY,          /* 2 MiB are refused or do not arrive whole */
    FAULT_CHUNKED,       /* a body without a length */
    FAULT_SILENCE,       /* what takes long is cut */
    FAULT_PATH,          /* encoded paths are refused or arrive changed */
    FAULT_PAGES,         /* errors come as the web server's own pages */
    FAULT_METHOD,        /* HEAD or OPTIONS is answered by the web server */
    FAULT_CORS,          /* it adds headers for pages of other sites */
    FAULT_HTTP2,
    N_FAULTS,
};

/* By how a Server header or SERVER_SOFTWARE begins: "nginx/1.22.1". */
enum server server_recognise(const char *software);

/* By what --server takes: "nginx", "apache-fcgid"; SERVER_UNKNOWN for another word. */
enum server server_named(const char *name);
const char *server_name(enum server s);

/* where: the place in its configuration.  lines: what to put there, or what to take away from it,
 * with newlines between. */
struct advice {
    const char *where, *lines;
};

struct advice advice_for(enum fault f, enum server s);

#endif
