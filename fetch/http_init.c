/* What of the environment concerns the connection, as huggingface_hub reads it. */
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "fetch/http.h"
#include "hub/cache.h"

#define HUB "https://huggingface.co"

enum { CONNECT_S = 15, MAX_REDIRECTIONS = 10, DEFAULT_STALL_S = 30, TOKEN_MAX = 4096 };

static int read_endpoint(struct http *h, struct err *e)
{
    const char *s = getenv("HF_ENDPOINT");
    size_t n;

    if (!s || !*s)
        s = HUB;
    n = strlen(s);
    while (n && s[n - 1] == '/')
        n--;
    if ((strncmp(s, "https://", 8) || n < 9) && (strncmp(s, "http://", 7) || n < 8))
        return err_set(e, ERR_INVALID,
                       "HF_ENDPOINT: expected https://HOST or http://HOST, found \"%.200s\"", s);
    buf_put(&h->endpoint, s, n);
    return h->endpoint.failed ? err_set(e, ERR_NOMEM, "no memory for an address") : 0;
}

/* The file that `hf auth login` writes. */
static void read_token_file(struct buf *token)
{
    const char *s = getenv("HF_TOKEN_PATH");
    struct buf path = { 0 };
    char text[TOKEN_MAX];
    ssize_t n = -1;
    int fd = -1;

    if (s && *s) {
        buf_puts(&path, s);
    } else {
        hub_home(&path);
        buf_puts(&path, "/token");
    }
    if (!path.failed)
        fd = open(path.data, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof text);
        close(fd);
    }
    if (n > 0)
        buf_put(token, text, (size_t)n);
    buf_done(&path);
}

/* Into a header, without the blanks around it; a token never appears in a sentence. */
static int put_token(struct http *h, const char *s, struct err *e)
{
    struct buf line = { 0 };
    struct curl_slist *list = NULL;
    size_t n;

    s += strspn(s, " \t\r\n");
    n = strlen(s);
    while (n && isspace((unsigned char)s[n - 1]))
        n--;
    if (!n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] >= 0x7f)
            return err_set(e, ERR_INVALID,
                           "HF_TOKEN: expected one word of printable ASCII letters");
    buf_printf(&line, "Authorization: Bearer %.*s", (int)n, s);
    if (!line.failed)
        list = curl_slist_append(h->headers, line.data);
    buf_done(&line);
    if (!list)
        return err_set(e, ERR_NOMEM, "no memory for a token");
    h->headers = list;
    h->has_token = true;
    return 0;
}

static int read_token(struct http *h, struct err *e)
{
    struct buf token = { 0 };
    const char *s = getenv("HF_TOKEN");
    int rc;

    if (!s || !*s)
        s = getenv("HUGGING_FACE_HUB_TOKEN");
    if (hub_flag("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
        return 0;
    if (s && *s)
        buf_puts(&token, s);
    else
        read_token_file(&token);
    rc = token.failed ? err_set(e, ERR_NOMEM, "no memory for a token")
                      : put_token(h, buf_str(&token), e);
    buf_done(&token);
    return rc;
}

static int read_timeout(struct http *h, struct err *e)
{
    const char *s = getenv("HF_HUB_DOWNLOAD_TIMEOUT");

    h->stall_s = DEFAULT_STALL_S;
    if (!s || !*s)
        return 0;
    if (strspn(s, "0123456789") != strlen(s) || strlen(s) > 6 || !atol(s))
        return err_set(e, ERR_INVALID,
                       "HF_HUB_DOWNLOAD_TIMEOUT: expected a number of seconds, found \"%.80s\"", s);
    h->stall_s = atol(s);
    return 0;
}

int http_init(struct http *h, int tries, struct err *e)
{
    const char *protocols = "http,https";
    int rc;

    *h = (struct http){ .tries = tries };
    if ((rc = read_endpoint(h, e)) || (rc = read_token(h, e)) || (rc = read_timeout(h, e)))
        return rc;
    h->curl = curl_easy_init();
    if (!h->curl)
        return err_set(e, ERR_INTERNAL, "libcurl cannot be set up");
    if (!strncmp(h->endpoint.data, "https", 5))
        protocols = "https"; /* nothing may lead from a safe connection to one in the clear */
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, h->headers);
    curl_easy_setopt(h->curl, CURLOPT_USERAGENT, PACKAGE "/" VERSION);
    curl_easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(h->curl, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTIONS);
    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, h->stall_s);
    curl_easy_setopt(h->curl, CURLOPT_BUFFERSIZE, 256L * 1024);
    if (curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, protocols) ||
        curl_easy_setopt(h->curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols))
        return err_set(e, ERR_UNSUPPORTED, "this libcurl does not speak %s", protocols);
    return 0;
}

void http_done(struct http *h)
{
    curl_slist_free_all(h->headers);
    if (h->curl)
        curl_easy_cleanup(h->curl);
    buf_done(&h->endpoint);
    *h = (struct http){ 0 };
}
