/* advice.c - the lines are those of the files in conf/, each of which was seen to work. */
#include "doctor/advice.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char *const names[N_SERVERS] = {
    [SERVER_UNKNOWN] = "an unknown web server",
    [SERVER_NGINX] = "nginx",
    [SERVER_LIGHTTPD] = "lighttpd",
    [SERVER_APACHE] = "apache",
    [SERVER_FCGID] = "apache-fcgid",
    [SERVER_HAPROXY] = "haproxy",
    [SERVER_CADDY] = "caddy",
};

enum server server_recognise(const char *software)
{
    if (strstr(software, "mod_fcgid"))
        return SERVER_FCGID;
    for (int s = SERVER_NGINX; s < N_SERVERS; s++)
        if (!strncasecmp(software, names[s], strlen(names[s])))
            return (enum server)s;
    return SERVER_UNKNOWN;
}

enum server server_named(const char *name)
{
    for (int s = SERVER_NGINX; s < N_SERVERS; s++)
        if (!strcasecmp(name, names[s]))
            return (enum server)s;
    return SERVER_UNKNOWN;
}

const char *server_name(enum server s)
{
    return names[s];
}

#define IN_NGINX    "in the location that has fastcgi_pass"
#define IN_LIGHTTPD "beside fastcgi.server"
#define IN_APACHE   "in the <Location> that has SetHandler \"proxy:...\""
#define IN_CADDY    "in reverse_proxy"
#define TAKE_AWAY   "to be taken away"

/* clang-format off */
static const struct advice table[N_FAULTS][N_SERVERS] = {
    [FAULT_AUTHORIZATION] = {
        [SERVER_NGINX] = { IN_NGINX, "fastcgi_param HTTP_AUTHORIZATION $http_authorization;" },
        [SERVER_LIGHTTPD] = { TAKE_AWAY, "setenv.set-request-header = ( \"Authorization\" => ... )" },
        [SERVER_APACHE] = { IN_APACHE " (with mod_fcgid, outside of it: FcgidPassHeader Authorization)", "CGIPassAuth On" },
        [SERVER_FCGID] = { "beside the other Fcgid directives", "FcgidPassHeader Authorization" },
        [SERVER_HAPROXY] = { "in the fcgi-app section", "pass-header authorization" },
        [SERVER_CADDY] = { TAKE_AWAY, "header_up -Authorization" },
    },
    [FAULT_BUFFERED] = {
        [SERVER_NGINX] = { IN_NGINX, "fastcgi_buffering off;" },
        [SERVER_LIGHTTPD] = { IN_LIGHTTPD, "server.stream-response-body = 1" },
        [SERVER_APACHE] = { "outside of <Location>, with the name that SetHandler has (with mod_fcgid: FcgidOutputBufferSize 0)",
                            "<Proxy \"fcgi://airstrip/\" flushpackets=on timeout=3600>\n</Proxy>" },
        [SERVER_FCGID] = { "beside the other Fcgid directives", "FcgidOutputBufferSize 0" },
        [SERVER_HAPROXY] = { "in defaults, or in frontend and backend", "option http-no-delay" },
        [SERVER_CADDY] = { IN_CADDY, "flush_interval -1" },
    },
    [FAULT_COMPRESSED] = {
        [SERVER_NGINX] = { IN_NGINX, "gzip off;" },
        [SERVER_LIGHTTPD] = { TAKE_AWAY, "\"text/event-stream\" in deflate.mimetypes" },
        [SERVER_APACHE] = { IN_APACHE, "SetEnv no-gzip 1" },
        [SERVER_FCGID] = { "in the <Location> of Airstrip", "SetEnv no-gzip 1" },
        [SERVER_HAPROXY] = { "in place of the line that is there", "compression type application/json" },
        [SERVER_CADDY] = { "in place of the line that is there", "encode {\n    gzip\n    match {\n        header Content-Type application/json*\n    }\n}" },
    },
    [FAULT_BODY] = {
        [SERVER_NGINX] = { "in the server block", "client_max_body_size 20m;" },
        [SERVER_LIGHTTPD] = { IN_LIGHTTPD, "server.max-request-size = 20480" },
        [SERVER_APACHE] = { "in the <Location> of Airstrip (with mod_fcgid, outside of it: FcgidMaxRequestLen 20971520)", "LimitRequestBody 20971520" },
        [SERVER_FCGID] = { "beside the other Fcgid directives", "FcgidMaxRequestLen 20971520" },
        [SERVER_HAPROXY] = { "in the frontend, in place of a smaller number", "http-request deny deny_status 413 if { req.body_size gt 20971520 }" },
        [SERVER_CADDY] = { "beside reverse_proxy", "request_body {\n    max_size 20MiB\n}" },
    },
    [FAULT_CHUNKED] = {
        [SERVER_NGINX] = { IN_NGINX, "fastcgi_request_buffering on;" },
        [SERVER_LIGHTTPD] = { IN_LIGHTTPD, "server.stream-request-body = 0" },
        [SERVER_APACHE] = { IN_APACHE, "SetEnv proxy-sendcl 1" },
        [SERVER_FCGID] = { "beside the other Fcgid directives", "FcgidMaxRequestLen 20971520" },
        [SERVER_HAPROXY] = { "in global", "tune.bufsize 65536" },
        [SERVER_CADDY] = { IN_CADDY, "request_buffers 20MiB" },
    },
    [FAULT_SILENCE] = {
        [SERVER_NGINX] = { IN_NGINX, "fastcgi_read_timeout 3600s;" },
        [SERVER_LIGHTTPD] = { "in fastcgi.server, in place of what is there", "\"read-timeout\" => 3600" },
        [SERVER_APACHE] = { "outside of <Location>, with the name that SetHandler has (with mod_fcgid: FcgidIOTimeout 3600)",
                            "<Proxy \"fcgi://airstrip/\" flushpackets=on timeout=3600>\n</Proxy>" },
        [SERVER_FCGID] = { "beside the other Fcgid directives", "FcgidIOTimeout 3600\nFcgidBusyTimeout 3600" },
        [SERVER_HAPROXY] = { "in defaults, or in frontend and backend", "timeout client 3600s\ntimeout server 3600s" },
        [SERVER_CADDY] = { "to be taken away from transport fastcgi", "read_timeout" },
    },
    [FAULT_PATH] = {
        [SERVER_NGINX] = { IN_NGINX, "fastcgi_param REQUEST_URI $request_uri;" },
        [SERVER_LIGHTTPD] = { "in place of what is there",
                              "server.http-parseopts = ( \"url-path-2f-reject\" => \"disable\", \"url-path-2f-decode\" => \"disable\",\n"
                              "                          \"method-get-body\" => \"enable\" )" },
        [SERVER_APACHE] = { "outside of <Location>, in the virtual host", "AllowEncodedSlashes NoDecode" },
        [SERVER_FCGID] = { "outside of <Location>, in the virtual host", "AllowEncodedSlashes NoDecode" },
        [SERVER_HAPROXY] = { TAKE_AWAY, "http-request normalize-uri ..." },
        [SERVER_CADDY] = { TAKE_AWAY, "rewrite, uri, or handle_path in place of handle" },
    },
    [FAULT_PAGES] = {
        [SERVER_NGINX] = { IN_NGINX, "fastcgi_intercept_errors off;" },
        [SERVER_LIGHTTPD] = { IN_LIGHTTPD, "server.error-intercept = \"disable\"" },
        [SERVER_APACHE] = { IN_APACHE, "ProxyErrorOverride Off" },
        [SERVER_FCGID] = { TAKE_AWAY, "ErrorDocument of 400 to 499" },
        [SERVER_HAPROXY] = { TAKE_AWAY, "http-response return ... if { status ... }" },
        [SERVER_CADDY] = { "to be taken away from reverse_proxy", "handle_response" },
    },
    [FAULT_METHOD] = {
        [SERVER_NGINX] = { TAKE_AWAY, "if ($request_method = ...) { return ...; }, and limit_except" },
        [SERVER_LIGHTTPD] = { TAKE_AWAY, "$HTTP[\"request-method\"] == \"OPTIONS\" { ... }" },
        [SERVER_APACHE] = { TAKE_AWAY, "<Limit>, <LimitExcept>, and RewriteCond %{REQUEST_METHOD} ..." },
        [SERVER_FCGID] = { TAKE_AWAY, "<Limit>, <LimitExcept>, and RewriteCond %{REQUEST_METHOD} ..." },
        [SERVER_HAPROXY] = { TAKE_AWAY, "http-request return ... if METH_OPTIONS" },
        [SERVER_CADDY] = { TAKE_AWAY, "respond with a matcher that has method" },
    },
    [FAULT_CORS] = {
        [SERVER_NGINX] = { TAKE_AWAY " (cors_origin in airstrip.conf does it)", "add_header Access-Control-Allow-Origin ...;" },
        [SERVER_LIGHTTPD] = { TAKE_AWAY " (cors_origin in airstrip.conf does it)", "setenv.add-response-header = ( \"Access-Control-Allow-Origin\" => ... )" },
        [SERVER_APACHE] = { TAKE_AWAY " (cors_origin in airstrip.conf does it)", "Header add Access-Control-Allow-Origin ..." },
        [SERVER_FCGID] = { TAKE_AWAY " (cors_origin in airstrip.conf does it)", "Header add Access-Control-Allow-Origin ..." },
        [SERVER_HAPROXY] = { TAKE_AWAY " (cors_origin in airstrip.conf does it)", "http-response add-header Access-Control-Allow-Origin ..." },
        [SERVER_CADDY] = { TAKE_AWAY " (cors_origin in airstrip.conf does it)", "header Access-Control-Allow-Origin ..." },
    },
    [FAULT_HTTP2] = {
        [SERVER_NGINX] = { "in the server block (from 1.25.1 on: listen 443 ssl; http2 on;)", "listen 443 ssl http2;" },
        [SERVER_LIGHTTPD] = { "among the global lines", "server.feature-flags += ( \"server.h2proto\" => \"enable\" )" },
        [SERVER_APACHE] = { "in the virtual host, with mod_http2 loaded", "Protocols h2 http/1.1" },
        [SERVER_FCGID] = { "in the virtual host, with mod_http2 loaded", "Protocols h2 http/1.1" },
        [SERVER_HAPROXY] = { "in the frontend", "bind :443 ssl crt /etc/ssl/private/airstrip.pem alpn h2,http/1.1" },
        [SERVER_CADDY] = { "among the global options, in servers", "protocols h1 h2" },
    },
};

/* Of a server that is not known, what to look for in its manual. */
static const char *const in_words[N_FAULTS] = {
    [FAULT_AUTHORIZATION] = "pass the Authorization header on",
    [FAULT_BUFFERED] = "pass each part of an answer on as it comes, without collecting it",
    [FAULT_COMPRESSED] = "do not compress text/event-stream",
    [FAULT_BODY] = "let requests be as large as 20 MiB",
    [FAULT_CHUNKED] = "collect a request that has no Content-Length before it is passed on",
    [FAULT_SILENCE] = "wait an hour for the next part of an answer",
    [FAULT_PATH] = "pass REQUEST_URI on as the client sent it",
    [FAULT_PAGES] = "do not replace answers of 400 and above",
    [FAULT_METHOD] = "pass HEAD and OPTIONS on",
    [FAULT_CORS] = "add no Access-Control-Allow-Origin",
    [FAULT_HTTP2] = "offer h2 by ALPN",
};
/* clang-format on */

struct advice advice_for(enum fault f, enum server s)
{
    if (f != FAULT_NONE && !table[f][s].lines)
        return (struct advice){ "in its configuration (--server names it, if it is a known one)",
                                in_words[f] };
    return table[f][s];
}
