/* report.h - what was found, in the order in which it was looked at.  One thread at a time. */
#ifndef AIRSTRIP_DOCTOR_REPORT_H
#define AIRSTRIP_DOCTOR_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "doctor/advice.h"
#include "kernels/base/err.h"

enum verdict {
    VERDICT_GOOD,
    VERDICT_NOTE,  /* could be better, and breaks nothing */
    VERDICT_WRONG, /* what the exit status tells */
};

enum { REPORT_MAX = 24 };

struct finding {
    const char *check; /* one word, a constant */
    enum verdict verdict;
    enum fault fault; /* of what is not good */
    char text[360];
};

struct report {
    char software[80]; /* SERVER_SOFTWARE: who speaks FastCGI with Airstrip */
    char front[80];    /* the Server header */
    enum server server;
    struct finding list[REPORT_MAX];
    size_t n;
};

void report_good(struct report *r, const char *check, const char *fmt, ...) PRINTF_LIKE(3, 4);
void report_found(struct report *r, const char *check, enum verdict v, enum fault f,
                  const char *fmt, ...) PRINTF_LIKE(5, 6);
size_t report_count(const struct report *r, enum verdict v);

/* What a web server sent may stand in a sentence: its control characters, which a terminal would
 * obey, become question marks. */
void report_make_plain(char *text);

/* On standard output. */
void report_print(const struct report *r, const char *url);
void report_print_json(const struct report *r, const char *url);

#endif
