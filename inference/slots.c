#include "inference/slots.h"

#include <stdlib.h>

#include "inference/job.h"

bool slots_init(struct slots *s, size_t n)
{
    *s = (struct slots){ .jobs = calloc(n, sizeof *s->jobs), .n = n };
    return s->jobs != NULL;
}

void slots_done(struct slots *s)
{
    free(s->jobs);
    *s = (struct slots){ 0 };
}

void slots_take(struct slots *s, struct job *j)
{
    j->slot = 0;
    while (s->jobs[j->slot])
        j->slot++;
    s->jobs[j->slot] = j;
}

void slots_leave(struct slots *s, const struct job *j)
{
    s->jobs[j->slot] = NULL;
}
