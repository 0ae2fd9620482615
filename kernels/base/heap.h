/* heap.h - how large the process is beside what it uses.
 *
 * glibc keeps what a thread has freed in that thread's arena, eight for each processor: with a
 * thread for each connection the process would be as large as all of them once were, together.
 * Where the C library is another one, nothing is done here. */
#ifndef AIRSTRIP_HEAP_H
#define AIRSTRIP_HEAP_H

/* A few arenas for all threads.  Before there are any. */
void heap_share(void);

/* What was freed goes back to the system.  Takes some milliseconds, and the next allocations touch
 * fresh pages: for when something large has ended, or nothing is to be done.  Any thread. */
void heap_give_back(void);

#endif
