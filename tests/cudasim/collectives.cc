/* collectives.cc - libnccl in one process: ranks meet in their streams, so one that forgets to call
 * leaves the others waiting, which a synchronisation reports. */
#include "halves.h"
#include "sim.h"

#if __has_include(<nccl.h>)
#include <nccl.h>

#include <algorithm>
#include <map>
#include <memory>

namespace sim
{

enum Kind { ALL_REDUCE, ALL_GATHER };

/* One collective: what each rank brought, and who has come to it. */
struct Meeting {
    Kind kind;
    size_t count;
    ncclDataType_t type;
    ncclRedOp_t op;
    std::vector<const void *> send;
    std::vector<void *> receive;
    std::vector<cudaStream_t> streams;
    std::vector<bool> here;
    int submitted = 0;
    bool done = false;
};

struct Clique {
    int n;
    std::vector<size_t> sequence; /* of each rank */
    std::map<size_t, std::shared_ptr<Meeting>> meetings;
};

static size_t element_size(ncclDataType_t t)
{
    return t == ncclFloat32 ? 4 : t == ncclFloat16 || t == ncclBfloat16 ? 2 : t == ncclInt8 ? 1 : 4;
}

static float element(const void *p, ncclDataType_t t, size_t i)
{
    return t == ncclFloat32   ? ((const float *)p)[i]
           : t == ncclFloat16 ? half_to_float(((const u16 *)p)[i])
                              : float_of_bits((u32)((const u16 *)p)[i] << 16);
}

static void set_element(void *p, ncclDataType_t t, size_t i, float v)
{
    if (t == ncclFloat32)
        ((float *)p)[i] = v;
    else
        ((u16 *)p)[i] = t == ncclFloat16 ? Half(v).bits : Brain(v).bits;
}

static void carry_out(Meeting &c)
{
    size_t n = c.send.size(), size = element_size(c.type);

    if (c.kind == ALL_GATHER) {
        std::vector<char> all(size * c.count * n);

        for (size_t r = 0; r < n; r++)
            memcpy(&all[size * c.count * r], c.send[r], size * c.count);
        for (size_t r = 0; r < n; r++)
            memcpy(c.receive[r], all.data(), all.size());
        return;
    }
    std::vector<float> sum(c.count);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < c.count; i++) {
            float v = element(c.send[r], c.type, i);

            sum[i] = !r ? v : c.op == ncclMax ? std::max(sum[i], v) : sum[i] + v;
        }
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < c.count; i++)
            set_element(c.receive[r], c.type, i, sum[i]);
}

/* Rank r is there; runs the streams of the others up to here.  False where somebody is missing. */
static bool meet(const std::shared_ptr<Meeting> &c, int rank)
{
    if (c->done)
        return true;
    c->here[(size_t)rank] = true;
    if (c->submitted < (int)c->send.size())
        return false;
    for (size_t r = 0; r < c->send.size() && !c->done; r++)
        if (!c->here[r])
            drain(c->streams[r]);
    if (c->done)
        return true;
    if (std::find(c->here.begin(), c->here.end(), false) != c->here.end())
        return false;
    carry_out(*c);
    return c->done = true;
}

} // namespace sim

struct ncclComm {
    std::shared_ptr<sim::Clique> clique;
    int rank;
};

using namespace sim;

static ncclResult_t submit(Kind kind, const void *send, void *receive, size_t count,
                           ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm, cudaStream_t s)
{
    Lock lock;
    Clique &q = *comm->clique;
    size_t number = q.sequence[(size_t)comm->rank]++, bytes = count * element_size(type);
    auto &slot = q.meetings[number];
    int rank = comm->rank;

    if (!slot) {
        slot = std::make_shared<Meeting>();
        slot->kind = kind;
        slot->count = count;
        slot->type = type;
        slot->op = op;
        slot->send.resize((size_t)q.n);
        slot->receive.resize((size_t)q.n);
        slot->streams.resize((size_t)q.n);
        slot->here.resize((size_t)q.n);
    }
    if (slot->kind != kind || slot->count != count || slot->type != type)
        report("nccl", "rank %d calls another collective (%zu elements) than its peers (%zu)", rank,
               count, slot->count);
    if (!span_fits(send, bytes, "send") ||
        !span_fits(receive, bytes * (kind == ALL_GATHER ? (size_t)q.n : 1), "receive"))
        return ncclInvalidArgument;
    slot->send[(size_t)rank] = send;
    slot->receive[(size_t)rank] = receive;
    slot->streams[(size_t)rank] = s;
    slot->submitted++;
    auto meeting = slot;
    if (slot->submitted == q.n)
        q.meetings.erase(number);
    enqueue(s, kind == ALL_GATHER ? "all-gather" : "all-reduce",
            [=] { return meet(meeting, rank); });
    return ncclSuccess;
}

extern "C" {

ncclResult_t ncclCommInitAll(ncclComm_t *comms, int n, const int *devices)
{
    Lock lock;
    auto clique = std::make_shared<Clique>();

    clique->n = n;
    clique->sequence.assign((size_t)n, 0);
    for (int i = 0; i < n; i++) {
        if ((devices ? devices[i] : i) >= device_count())
            return ncclInvalidArgument;
        comms[i] = new ncclComm{ clique, i };
    }
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t c)
{
    Lock lock;

    drain_all();
    delete c;
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t c)
{
    return ncclCommDestroy(c);
}
ncclResult_t ncclGroupStart(void)
{
    return ncclSuccess;
}
ncclResult_t ncclGroupEnd(void)
{
    return ncclSuccess;
}
const char *ncclGetErrorString(ncclResult_t r)
{
    return r ? "simulated failure" : "no error";
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t c, cudaStream_t s)
{
    return submit(ALL_REDUCE, send, receive, count, type, op, c, s);
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclComm_t c, cudaStream_t s)
{
    return submit(ALL_GATHER, send, receive, count, type, ncclSum, c, s);
}
}
#endif
