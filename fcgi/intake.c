/* Each record's header decides where its content goes, and its end what it meant. */
#include "fcgi/intake.h"

#include <stdio.h>
#include <string.h>

enum {
    BEGIN = 1,
    ABORT = 2,
    END = 3,
    PARAMS = 4,
    STDIN = 5,
    STDOUT = 6,
    DATA = 8,
    GET_VALUES = 9,
    GET_VALUES_RESULT = 10,
    UNKNOWN_TYPE = 11,
};
enum { CANT_MPX_CONN = 1, UNKNOWN_ROLE = 3 }; /* protocolStatus of END */
enum {
    RESPONDER = 1,
    FILTER = 3,
    SMALL_MAX = 512, /* three names of 14 bytes are all that can be asked for */
    EXTRA_MAX = 16,
    SKIPPED_MAX = 1024 * 1024,
};

void intake_init(struct intake *in, size_t body_limit, size_t max_requests)
{
    *in = (struct intake){ .body_limit = body_limit, .max_requests = max_requests };
}

void intake_done(struct intake *in)
{
    buf_done(&in->head);
    buf_done(&in->body);
    buf_done(&in->owed);
    buf_done(&in->small);
}

size_t intake_bytes(const struct intake *in)
{
    return in->head.cap + in->body.cap + in->small.cap + in->owed.cap;
}

/* len < 65536. */
static void owe(struct intake *in, int type, unsigned id, const void *content, size_t len)
{
    unsigned char header[8] = { 1,
                                (unsigned char)type,
                                (unsigned char)(id >> 8),
                                (unsigned char)id,
                                (unsigned char)(len >> 8),
                                (unsigned char)len };

    buf_put(&in->owed, header, sizeof header);
    buf_put(&in->owed, content, len);
}

static void owe_end(struct intake *in, unsigned id, int protocol_status)
{
    unsigned char body[8] = { 0, 0, 0, 0, (unsigned char)protocol_status };

    owe(in, END, id, body, sizeof body);
}

/* The web server would make a page of its own of a closed connection. */
static int too_large(struct intake *in, struct err *e, const char *what, size_t found, size_t most)
{
    static const char answer[] =
        "Status: 431 Request Header Fields Too Large\r\n"
        "Content-Type: application/json\r\n\r\n"
        "{\"error\":{\"message\":\"The request's headers are larger than the server accepts.\","
        "\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"headers_too_large\"}}";

    owe(in, STDOUT, in->id, answer, sizeof answer - 1);
    owe(in, STDOUT, in->id, NULL, 0);
    owe_end(in, in->id, 0);
    return err_set(e, ERR_LIMIT, "expected at most %zu %s, found %zu", most, what, found);
}

/* One length of a pair: a byte, or four whose first bit is set (3.4).  False: not all here yet. */
static bool take_length(const struct buf *b, size_t *at, size_t *out)
{
    const unsigned char *p = (const unsigned char *)buf_str(b) + *at;
    size_t n = b->len - *at;

    if (!n || (*p & 0x80 && n < 4))
        return false;
    *out = *p & 0x80 ? (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]
                     : *p;
    *at += *p & 0x80 ? 4 : 1;
    return true;
}

/* Walks over the pairs that are complete.  What the next one promises is judged as soon as it is
 * said, so that a lie need not be waited for. */
static int check_pairs(struct intake *in, struct err *e)
{
    size_t at = in->pair_at, name, value;

    while (take_length(&in->head, &at, &name) && take_length(&in->head, &at, &value)) {
        size_t end = at + name + value; /* each length is below 2^31 */

        if (end > INTAKE_HEAD_MAX)
            return too_large(in, e, "bytes of parameters", end, INTAKE_HEAD_MAX);
        if (end > in->head.len)
            break;
        if (++in->n_pairs > INTAKE_PAIRS_MAX)
            return too_large(in, e, "parameters", in->n_pairs, INTAKE_PAIRS_MAX);
        at = in->pair_at = end;
    }
    return 0;
}

/* --- the ends of records --- */

static int end_begin(struct intake *in, struct err *e)
{
    const unsigned char *p = (const unsigned char *)in->small.data;

    in->role = (uint16_t)(p[0] << 8 | p[1]);
    if (in->role < RESPONDER || in->role > FILTER) {
        owe_end(in, in->id, UNKNOWN_ROLE);
        return err_set(e, ERR_FORMAT, "expected a role of 1 to 3 (FCGI_BEGIN_REQUEST), found %d",
                       in->role);
    }
    in->state = INTAKE_HEAD;
    return 0;
}

/* Only names that exist, each at most once: the answer is bounded whatever is asked. */
static void end_get_values(struct intake *in)
{
    static const char *const names[] = { "FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS" };
    const struct buf *asked = &in->small;
    bool given[3] = { false };
    char pairs[3 * 48];
    size_t at = 0, name, value, len = 0;

    while (take_length(asked, &at, &name) && take_length(asked, &at, &value) &&
           name + value <= asked->len - at) {
        for (size_t i = 0; i < 3; i++)
            if (!given[i] && name == strlen(names[i]) &&
                !memcmp(asked->data + at, names[i], name)) {
                char number[24];
                int n = snprintf(number, sizeof number, "%zu", i < 2 ? in->max_requests : 0);

                given[i] = true;
                len += (size_t)snprintf(pairs + len, sizeof pairs - len, "%c%c%s%s", (int)name, n,
                                        names[i], number);
            }
        at += name + value;
    }
    owe(in, GET_VALUES_RESULT, 0, pairs, len);
}

static int end_params(struct intake *in, struct err *e)
{
    if (in->pair_at != in->head.len)
        return err_set(e, ERR_FORMAT, "the last parameter is cut off after %zu bytes",
                       in->head.len - in->pair_at);
    in->state = in->role == RESPONDER ? INTAKE_BODY : INTAKE_WHOLE;
    in->has_rest = in->role != RESPONDER; /* it will be refused; a filter has more to say */
    return 0;
}

static int end_record(struct intake *in, bool was_empty, struct err *e)
{
    int type = in->header[1];

    if (in->into == &in->small) {
        int rc = 0;

        if (type == BEGIN)
            rc = end_begin(in, e);
        else
            end_get_values(in);
        buf_reset(&in->small);
        return rc;
    }
    if (in->into == &in->head)
        return was_empty ? end_params(in, e) : check_pairs(in, e);
    if (in->into == &in->body && was_empty)
        in->state = INTAKE_WHOLE;
    return 0;
}

/* --- their beginnings --- */

/* What is not of our request: a second one, or a question about us. */
static int begin_extra(struct intake *in, int type, unsigned id, struct err *e)
{
    unsigned char unknown[8] = { (unsigned char)type };

    if (++in->n_extra > EXTRA_MAX)
        return err_set(e, ERR_FORMAT, "expected at most %d records beside the request", EXTRA_MAX);
    if (id) {
        owe_end(in, id, CANT_MPX_CONN);
    } else if (type == GET_VALUES) {
        if (in->left > SMALL_MAX)
            return err_set(e, ERR_LIMIT, "expected FCGI_GET_VALUES of at most %d bytes, found %zu",
                           SMALL_MAX, in->left);
        in->into = &in->small;
    } else {
        owe(in, UNKNOWN_TYPE, 0, unknown, sizeof unknown);
    }
    return 0;
}

static int begin_request(struct intake *in, unsigned id, struct err *e)
{
    if (in->state != INTAKE_START)
        return err_set(e, ERR_FORMAT, "a second FCGI_BEGIN_REQUEST for request %u", id);
    if (in->left != 8)
        return err_set(e, ERR_FORMAT, "expected FCGI_BEGIN_REQUEST of 8 bytes, found %zu",
                       in->left);
    in->id = (uint16_t)id;
    in->into = &in->small;
    return 0;
}

/* A header is complete. */
static int begin_record(struct intake *in, struct err *e)
{
    const unsigned char *h = in->header;
    unsigned id = (unsigned)(h[2] << 8 | h[3]);
    int type = h[1];

    in->left = (size_t)(h[4] << 8 | h[5]);
    in->padding = h[6];
    in->into = NULL;
    if (type == ABORT && id == in->id && in->state != INTAKE_START) {
        owe_end(in, id, 0);
        in->state = INTAKE_ABORTED;
    }
    if (in->state >= INTAKE_WHOLE)
        return 0;
    if (h[0] != 1)
        return err_set(e, ERR_FORMAT, "expected FastCGI version 1, found %d", h[0]);
    if (!id || (type == BEGIN && in->state != INTAKE_START && id != in->id))
        return begin_extra(in, type, id, e);
    if (type == BEGIN)
        return begin_request(in, id, e);
    if (in->state == INTAKE_START)
        return err_set(e, ERR_FORMAT, "expected FCGI_BEGIN_REQUEST, found a record of type %d",
                       type);
    if (id != in->id)
        return 0; /* of a request that was refused */
    if (type == PARAMS && in->state == INTAKE_HEAD) {
        in->into = &in->head;
        if (in->head.len + in->left > INTAKE_HEAD_MAX)
            return too_large(in, e, "bytes of parameters", in->head.len + in->left,
                             INTAKE_HEAD_MAX);
    } else if (type == STDIN && in->state == INTAKE_BODY) {
        in->into = &in->body;
    } else {
        return err_set(e, ERR_FORMAT, "a record of type %d where %s were expected", type,
                       in->state == INTAKE_HEAD ? "parameters" : "parts of the body");
    }
    return 0;
}

/* --- bytes --- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* n bytes of the current record's content, no more than are left of it. */
static int take_content(struct intake *in, const void *p, size_t n, struct err *e)
{
    in->left -= n;
    if (!in->into) {
        in->skipped += n;
        return in->skipped > SKIPPED_MAX
                   ? err_set(e, ERR_LIMIT, "expected at most %d bytes beside the request",
                             SKIPPED_MAX)
                   : 0;
    }
    buf_put(in->into, p, n);
    if (in->into->failed)
        return err_set(e, ERR_NOMEM, "no memory for %zu bytes more of a request", n);
    if (in->body.len > in->body_limit) {
        in->state = INTAKE_WHOLE;
        in->has_rest = true;
    }
    return 0;
}

int intake_feed(struct intake *in, const void *bytes, size_t len, struct err *e)
{
    const unsigned char *p = bytes, *end = p + len;
    int rc = 0;

    while (!rc && (p < end || (in->n_header == 8 && !in->left && !in->padding)) &&
           in->state != INTAKE_ABORTED && !in->has_rest) {
        size_t n;

        if (in->n_header < 8) {
            n = smaller(8 - in->n_header, (size_t)(end - p));
            memcpy(in->header + in->n_header, p, n);
            in->n_header += n;
            p += n;
            if (in->n_header == 8)
                rc = begin_record(in, e);
        } else if (in->left) {
            n = smaller(in->left, (size_t)(end - p));
            rc = take_content(in, p, n, e);
            p += n;
        } else if (in->padding) {
            n = smaller(in->padding, (size_t)(end - p));
            in->padding -= n;
            p += n;
        } else {
            bool was_empty = !(in->header[4] | in->header[5]);

            in->n_header = 0;
            rc = end_record(in, was_empty, e);
        }
    }
    if (!rc && in->owed.failed)
        rc = err_set(e, ERR_NOMEM, "no memory for an answer to the web server");
    return rc;
}

long intake_read(struct intake *in, void *to, size_t len)
{
    size_t n = smaller(len, in->body.len - in->body_read);

    if (n)
        memcpy(to, in->body.data + in->body_read, n);
    in->body_read += n;
    if (n)
        return (long)n;
    buf_done(&in->body);
    in->body_read = 0;
    return in->broken ? -1 : 0;
}
