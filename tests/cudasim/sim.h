/* sim.h - what the parts of the CUDA simulator share: reports, options, memory, streams.
 *
 * The simulator stands in for libcudart, libcublas, libcublasLt and libnccl.  It takes the PTX that
 * nvcc put into the very module that ships and runs it on the CPU, one instruction of a warp at a
 * time, and reports what a GPU would get wrong silently.  One global lock is held in every call of
 * the API, so nothing below needs one of its own. */
#ifndef CUDASIM_SIM_H
#define CUDASIM_SIM_H

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace sim
{

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i8 = int8_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;

/* The number in the environment variable CUDASIM_`name`, or `otherwise`. */
int option(const char *name, int otherwise);

/* A finding: what kind, and one sentence.  Prints it with the kernel, thread, source line and
 * instruction at hand; a finding inside a kernel also breaks the device, as an illegal access
 * breaks a real one.  A process that has any ends with status 3. */
void report(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
long reports();
enum { MAX_REPORTS = 100 }; /* a kernel that has more is given up */

/* Where the kernel that runs is, for reports; set by the machine. */
extern const char *current_kernel;
extern std::string (*current_place)();

/* Held in every call of the API. */
struct Lock {
    Lock();
    ~Lock();
};

/* Keeps e for cudaGetLastError() where it is one; returns it. */
cudaError_t fail(cudaError_t e);
bool device_lost(int device); /* a finding inside a kernel, or CUDASIM_LOSE_AFTER launches */
bool device_lost();           /* the current one */

/* Lets other threads in until it is so; false: it was not within CUDASIM_WAIT_MS. */
bool wait_until(const std::function<bool()> &so);

/* --- memory --------------------------------------------------------------------------------- */

struct Allocation {
    size_t bytes;
    bool device; /* else pinned host memory */
    int owner;   /* which device */
    u64 *shadow; /* two words a byte for the search of races, or nullptr (races.cc) */
};

/* The allocation that holds p, and where it begins; false where there is none. */
bool find_allocation(const void *p, uintptr_t *begin, Allocation **a);
/* Do `bytes` at p stay within an allocation (or are host memory that we know nothing of)?  Reports
 * where not. */
bool span_fits(const void *p, size_t bytes, const char *what);
bool is_device(const void *p);
bool is_pinned(const void *p);
/* Was anything written right before or behind an allocation? */
void check_fences(const char *when);
/* For counters.cc. */
extern u64 bytes_to_host;
extern u64 graph_launches;

/* --- streams -------------------------------------------------------------------------------- */

/* Work of a stream; returns false where it has to wait for another stream. */
using Work = std::function<bool()>;

struct Task {
    std::string what;
    Work work;
};

/* Queued, or recorded where the stream is being captured.  Nothing runs before somebody waits for
 * it, so what was not waited for is seen to be wrong. */
void enqueue(cudaStream_t s, const std::string &what, Work work);
void drain(cudaStream_t s); /* runs what can run */
void drain_all();
bool any_capture(); /* by this thread */
int device_of(cudaStream_t s);
extern int running_device; /* whose kernel runs, else -1 */

int device_count();
int current_device();

} // namespace sim

#endif
