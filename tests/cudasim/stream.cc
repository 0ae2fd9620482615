/* stream.cc - streams, events and graphs.
 *
 * A stream is a queue that nothing runs before somebody waits for it: a synchronisation, a copy
 * into pageable memory, an event that another stream waits for.  A program that reads results too
 * early therefore sees that they are not there, every time.  CUDASIM_LAZY=0 runs work at once. */
#include "sim.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

struct CUgraph_st {
    std::vector<sim::Task> tasks;
};

struct CUgraphExec_st {
    std::vector<sim::Task> tasks;
};

struct CUstream_st {
    std::deque<sim::Task> queue;
    CUgraph_st *capture = nullptr;
    std::thread::id capturing;
    bool running = false;
    int device = 0;
    unsigned asked = 0; /* cudaStreamQuery() */
};

struct CUevent_st {
    bool recorded = false, done = false;
    CUstream_st *stream = nullptr;
    u_int64_t generation = 0;
    double at_ms = 0;
};

namespace sim
{

static CUstream_st null_stream; /* of all devices */
u64 graph_launches;
int running_device = -1;

static std::vector<CUstream_st *> &streams()
{
    static auto *v = new std::vector<CUstream_st *>{ &null_stream };
    return *v;
}

static CUstream_st *resolve(cudaStream_t s)
{
    return !s || s == cudaStreamLegacy || s == cudaStreamPerThread ? &null_stream : s;
}

int device_of(cudaStream_t stream)
{
    CUstream_st *s = resolve(stream);
    return s == &null_stream ? current_device() : s->device;
}

void enqueue(cudaStream_t stream, const std::string &what, Work work)
{
    CUstream_st *s = resolve(stream);

    if (s->capture) {
        s->capture->tasks.push_back({ what, work });
        return;
    }
    s->queue.push_back({ what, work });
    if (!option("LAZY", 1))
        drain(s);
}

void drain(cudaStream_t stream)
{
    CUstream_st *s = resolve(stream);

    if (s->running) /* a task that waits for its own stream */
        return;
    s->running = true;
    while (!s->queue.empty()) {
        if (!s->queue.front().work())
            break;
        s->queue.pop_front();
    }
    s->running = false;
}

void drain_all()
{
    for (CUstream_st *s : std::vector<CUstream_st *>(streams()))
        drain(s);
}

bool any_capture()
{
    for (CUstream_st *s : streams())
        if (s->capture && s->capturing == std::this_thread::get_id())
            return true;
    return false;
}

static double now_ms()
{
    auto t = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(t).count();
}

static void wait_for(CUevent_st *e)
{
    while (e->recorded && !e->done && !e->stream->queue.empty()) {
        size_t before = e->stream->queue.size();

        drain(e->stream);
        if (e->stream->queue.size() == before)
            break;
    }
}

} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    Lock lock;

    if (!device_count())
        return fail(cudaErrorNoDevice);
    *out = new CUstream_st;
    (*out)->device = current_device();
    streams().push_back(*out);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *out)
{
    return cudaStreamCreateWithFlags(out, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    Lock lock;
    auto &all = streams();

    drain(s);
    all.erase(std::find(all.begin(), all.end(), s));
    delete s;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    Lock lock;
    CUstream_st *s = resolve(stream);

    if (s->capture)
        return fail(cudaErrorStreamCaptureUnsupported);
    if (!s->running && !wait_until([=] {
            drain(s);
            return s->queue.empty();
        })) {
        report("stream-deadlock", "'%s' waits for work that nobody has submitted",
               s->queue.front().what.c_str());
        s->queue.clear();
    }
    return device_lost(device_of(s)) ? fail(cudaErrorIllegalAddress) : cudaSuccess;
}

/* Nothing runs before somebody asks for the second time. */
cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    Lock lock;
    CUstream_st *s = resolve(stream);

    if (s->capture)
        return fail(cudaErrorStreamCaptureUnsupported);
    if (s->asked++ && !s->queue.empty())
        drain(s);
    if (!s->queue.empty())
        return cudaErrorNotReady;
    s->asked = 0;
    return device_lost(device_of(s)) ? fail(cudaErrorIllegalAddress) : cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    Lock lock;

    if (any_capture())
        return fail(cudaErrorStreamCaptureUnsupported);
    drain_all();
    return device_lost() ? fail(cudaErrorIllegalAddress) : cudaSuccess;
}

/* --- events --------------------------------------------------------------------------------- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    Lock lock;

    if (!device_count())
        return fail(cudaErrorNoDevice);
    *out = new CUevent_st;
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out)
{
    return cudaEventCreateWithFlags(out, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    Lock lock;

    drain_all();
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t stream)
{
    Lock lock;
    u64 generation = ++e->generation;

    e->recorded = true;
    e->done = false;
    e->stream = resolve(stream);
    enqueue(stream, "event", [=] {
        if (e->generation == generation) {
            e->done = true;
            e->at_ms = now_ms();
        }
        return true;
    });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    Lock lock;

    wait_for(e);
    return device_lost() ? fail(cudaErrorIllegalAddress) : cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    Lock lock;
    return !e->recorded || e->done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    Lock lock;

    *ms = (float)(to->at_ms - from->at_ms);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    Lock lock;

    if (!e->recorded || e->done || resolve(s)->capture)
        return cudaSuccess;
    enqueue(s, "wait for an event", [=] {
        wait_for(e);
        return e->done || !e->recorded;
    });
    return cudaSuccess;
}

/* --- graphs --------------------------------------------------------------------------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode)
{
    Lock lock;

    if (!s)
        return fail(cudaErrorStreamCaptureUnsupported);
    drain(s);
    s->capture = new CUgraph_st;
    s->capturing = std::this_thread::get_id();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    Lock lock;

    *out = s->capture;
    s->capture = nullptr;
    return *out ? cudaSuccess : fail(cudaErrorStreamCaptureInvalidated);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *out)
{
    Lock lock;

    *out = resolve(s)->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *)
{
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long)
{
    Lock lock;

    *out = new CUgraphExec_st{ g->tasks };
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t s)
{
    Lock lock;

    if (device_lost())
        return fail(cudaErrorIllegalAddress);
    graph_launches++;
    for (const Task &t : g->tasks)
        enqueue(s, t.what, t.work);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    Lock lock;

    delete g;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g)
{
    Lock lock;

    drain_all();
    delete g;
    return cudaSuccess;
}
}
