/* report.cc - findings, options, the lock and the last error. */
#include "sim.h"

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace sim
{

const char *current_kernel = "";
std::string (*current_place)();

static long n_reports;
static bool broken;
static thread_local cudaError_t last_error;

static std::recursive_mutex &the_lock()
{
    static std::recursive_mutex *m = new std::recursive_mutex; /* outlives static destructors */
    return *m;
}

static thread_local int depth; /* how often this thread holds it */

Lock::Lock()
{
    the_lock().lock();
    depth++;
}
Lock::~Lock()
{
    depth--;
    the_lock().unlock();
}

bool wait_until(const std::function<bool()> &so)
{
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(option("WAIT_MS", 300000));
    const int held = depth;

    while (!so()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        for (int i = 0; i < held; i++)
            the_lock().unlock();
        usleep(200);
        for (int i = 0; i < held; i++)
            the_lock().lock();
    }
    return true;
}

int option(const char *name, int otherwise)
{
    const char *value = getenv((std::string("CUDASIM_") + name).c_str());

    return value && *value ? atoi(value) : otherwise;
}

void report(const char *kind, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n_reports++ < 8)
        fprintf(stderr, "cudasim: [%s] %s%s%s: %s\n", kind, *current_kernel ? "in " : "host",
                current_kernel, *current_kernel && current_place ? current_place().c_str() : "",
                text);
    if (*current_kernel)
        broken = true;
    if (option("ABORT", 0))
        abort();
}

long reports()
{
    return n_reports;
}

/* The process cannot claim success after a finding. */
static struct AtExit {
    ~AtExit()
    {
        if (n_reports) {
            fprintf(stderr, "cudasim: %ld findings\n", n_reports);
            fflush(nullptr);
            _exit(3);
        }
    }
} at_exit;

cudaError_t fail(cudaError_t e)
{
    if (e != cudaSuccess)
        last_error = e;
    return e;
}

static int lost = -1; /* which device */
static long launches_left = -2;

bool device_lost(int device)
{
    return broken || lost == device;
}

bool device_lost()
{
    return device_lost(current_device());
}

/* Called at every launch: CUDASIM_LOSE_AFTER=k loses the device at launch k, of those of
 * CUDASIM_LOSE_DEVICE. */
void count_launch(int device)
{
    if (launches_left == -2)
        launches_left = option("LOSE_AFTER", -1);
    if (device == option("LOSE_DEVICE", 0) && launches_left >= 0 && launches_left-- == 0)
        lost = device;
}

} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last_error;

    if (!device_lost()) /* what broke the device stays */
        last_error = cudaSuccess;
    return e;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

#define NAMES(row)                                                                                 \
    row(cudaSuccess, "no error") row(cudaErrorInvalidValue, "invalid argument")                    \
        row(cudaErrorMemoryAllocation, "out of memory") row(cudaErrorNoDevice,                     \
                                                            "no CUDA-capable device is detected")  \
            row(cudaErrorInvalidDevice, "invalid device ordinal")                                  \
                row(cudaErrorInvalidConfiguration, "invalid configuration argument")               \
                    row(cudaErrorInvalidDeviceFunction, "invalid device function")                 \
                        row(cudaErrorIllegalAddress, "an illegal memory access was encountered")   \
                            row(cudaErrorInvalidMemcpyDirection,                                   \
                                "invalid copy direction for memcpy")                               \
                                row(cudaErrorStreamCaptureUnsupported,                             \
                                    "operation not permitted when stream is capturing")            \
                                    row(cudaErrorStreamCaptureInvalidated,                         \
                                        "operation failed due to a previous error during capture") \
                                        row(cudaErrorNotReady, "device not ready")

const char *cudaGetErrorName(cudaError_t e)
{
#define NAME(code, text) \
    if (e == code)       \
        return #code;
    NAMES(NAME)
    return "cudaErrorUnknown";
}

const char *cudaGetErrorString(cudaError_t e)
{
#define TEXT(code, text) \
    if (e == code)       \
        return text;
    NAMES(TEXT)
    return "unknown error";
}

/* For tests: findings so far. */
long cudasim_reports(void)
{
    return reports();
}
}
