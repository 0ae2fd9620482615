#include "doctor/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "kernels/base/buf.h"
#include "kernels/base/json.h"

void report_make_plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

static void put(struct report *r, const char *check, enum verdict v, enum fault f, const char *fmt,
                va_list ap)
{
    struct finding *one;

    if (r->n == REPORT_MAX)
        return;
    one = &r->list[r->n++];
    *one = (struct finding){ .check = check, .verdict = v, .fault = f };
    vsnprintf(one->text, sizeof one->text, fmt, ap);
    report_make_plain(one->text);
}

void report_good(struct report *r, const char *check, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put(r, check, VERDICT_GOOD, FAULT_NONE, fmt, ap);
    va_end(ap);
}

void report_found(struct report *r, const char *check, enum verdict v, enum fault f,
                  const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put(r, check, v, f, fmt, ap);
    va_end(ap);
}

size_t report_count(const struct report *r, enum verdict v)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += r->list[i].verdict == v;
    return n;
}

static const char *const words[] = {
    [VERDICT_GOOD] = "good",
    [VERDICT_NOTE] = "note",
    [VERDICT_WRONG] = "WRONG",
};

/* Whether the program that clients meet is another than the one that Airstrip meets. */
static bool has_front(const struct report *r)
{
    size_t n = strcspn(r->software, "/ ");

    return *r->front && *r->software && strncasecmp(r->front, r->software, n);
}

static void print_lines(const char *lines)
{
    while (*lines) {
        size_t n = strcspn(lines, "\n");

        printf("           %.*s\n", (int)n, lines);
        lines += n;
        lines += *lines == '\n';
    }
}

void report_print(const struct report *r, const char *url)
{
    size_t wrong = report_count(r, VERDICT_WRONG);
    const char *who = *r->software ? r->software : *r->front ? r->front : server_name(r->server);

    printf("%s: Airstrip behind %s\n", url, who);
    if (has_front(r))
        printf(
            "The answers' Server header says %s: another web server stands in front, and what is "
            "found may be its doing.\n",
            r->front);
    for (size_t i = 0; i < r->n; i++) {
        const struct finding *f = &r->list[i];

        printf("%-5s  %-13s  %s\n", words[f->verdict], f->check, f->text);
        if (f->fault != FAULT_NONE) {
            struct advice a = advice_for(f->fault, r->server);

            printf("       %s, %s:\n", server_name(r->server), a.where);
            print_lines(a.lines);
        }
    }
    if (wrong)
        printf("%zu thing%s found.\n", wrong, wrong == 1 ? "" : "s");
    else
        printf("Nothing found.\n");
}

static void put_pair(struct buf *b, const char *key, const char *value)
{
    buf_printf(b, "\"%s\":", key);
    json_write_string(b, value, strlen(value));
}

void report_print_json(const struct report *r, const char *url)
{
    static const char *const results[] = { "good", "note", "wrong" };
    struct buf b = { 0 };

    buf_putc(&b, '{');
    put_pair(&b, "url", url);
    buf_putc(&b, ',');
    put_pair(&b, "server", server_name(r->server));
    buf_putc(&b, ',');
    put_pair(&b, "server_software", r->software);
    buf_putc(&b, ',');
    put_pair(&b, "server_header", r->front);
    buf_printf(&b, ",\"found\":%zu,\"checks\":[", report_count(r, VERDICT_WRONG));
    for (size_t i = 0; i < r->n; i++) {
        const struct finding *f = &r->list[i];

        buf_puts(&b, i ? ",{" : "{");
        put_pair(&b, "check", f->check);
        buf_putc(&b, ',');
        put_pair(&b, "result", results[f->verdict]);
        buf_putc(&b, ',');
        put_pair(&b, "text", f->text);
        if (f->fault != FAULT_NONE) {
            struct advice a = advice_for(f->fault, r->server);

            buf_putc(&b, ',');
            put_pair(&b, "where", a.where);
            buf_putc(&b, ',');
            put_pair(&b, "lines", a.lines);
        }
        buf_putc(&b, '}');
    }
    buf_puts(&b, "]}\n");
    fputs(b.failed ? "{\"error\":\"no memory\"}\n" : b.data, stdout);
    buf_done(&b);
}
