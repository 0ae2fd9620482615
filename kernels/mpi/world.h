/* world.h - what the files of the module share: all processes, and the lanes that models speak on.
 *
 * Nothing here blocks inside MPI once the world is open: calls that would are begun and then asked
 * about (wait.c), so that a rank that does not answer costs a timeout and not a process, and so
 * that who waits for long sleeps. */
#ifndef AIRSTRIP_MPI_WORLD_H
#define AIRSTRIP_MPI_WORLD_H

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/mpi/wire.h"
#include "kernels/ranks_mpi.h"

enum beat_kind { BEAT_ALIVE, BEAT_FAILED, BEAT_LEAVES };

/* What a rank says to each other rank now and then. */
struct beat {
    int32_t kind;
    char text[252]; /* BEAT_FAILED: the sentence, whole */
};

/* Another rank, as the heart sees it; the heart's thread only. */
struct peer {
    MPI_Request in, out;
    struct beat heard, said;
    int pidfd; /* of a process on this host; -1 elsewhere */
    double last_ms;
    double left_ms; /* when it said that it leaves; 0: it did not */
    char host[64];
};

struct ranks_world {
    size_t rank, n, n_beside;
    struct ranks_mpi_options options;

    MPI_Comm heart_comm;
    struct peer *peers; /* [n]; that of this rank is not used */
    pthread_t heart;
    bool beats;         /* the thread runs */
    int wake;           /* eventfd: there is something to say */
    atomic_bool leaves; /* this rank wants to end */
    atomic_bool alone;  /* the heart has stopped, since all left or one failed */
    atomic_size_t n_lanes;

    pthread_mutex_t lock; /* guards failure */
    struct err failure;   /* code 0: none */
    atomic_bool failed;   /* failure is there */
};

/* One model's ranks. */
struct lane {
    struct ranks ranks; /* first: its user's pointer is ours */
    struct ranks_world *world;
    MPI_Comm comm;
    MPI_Request *requests; /* [2 n] */
    char *room;            /* what came from others, and what is sent packed */
    size_t room_bytes;
    struct buf told;      /* on its way to the others */
    bool is_telling;      /* the requests of `telling` are under way */
    MPI_Request *telling; /* [n] */
};

/* --- wait.c --- */

/* How long others may take is known by what is waited for. */
enum patience {
    WAIT_SUM,     /* others are computing the same: microseconds to milliseconds */
    WAIT_MESSAGE, /* there may be nothing to do for hours */
};

struct pause {
    enum patience patience;
    double since_us;
};

void pause_begin(struct pause *p, enum patience patience);
/* Gives the processor away for a moment, a longer one the longer it has been. */
void pause_take(struct pause *p);

double now_ms(void);

/* Until all n are done.  The failure of any rank ends it; then their buffers are void, and stay. */
int wait_all(struct lane *l, MPI_Request *requests, size_t n, enum patience p,
             struct err *e) MUST_CHECK;

/* ERR_INTERNAL for what MPI returned, which is a failure of this rank from now on. */
int mpi_check(struct ranks_world *w, int code, const char *what, struct err *e) MUST_CHECK;

/* --- heart.c --- */

int heart_start(struct ranks_world *w, struct err *e) MUST_CHECK;

/* Says goodbye; true where all others have said it too. */
bool heart_stop(struct ranks_world *w);

/* 0, or what failed.  Any thread. */
int world_failed(struct ranks_world *w, struct err *e);
void world_fail(struct ranks_world *w, const char *sentence);

/* --- sum.c, lane.c --- */

int lane_sum(struct ranks *r, float *x, size_t rows, size_t cols, struct err *e);
int lane_room(struct lane *l, size_t bytes, struct err *e) MUST_CHECK;
int lane_create(struct lane **out, struct ranks_world *w, struct err *e) MUST_CHECK;

static inline struct lane *lane_of(struct ranks *r)
{
    return (struct lane *)(void *)r;
}

#endif
