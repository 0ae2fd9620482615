/* collectives.cc - libnccl in one process: ranks meet in their streams, so one that forgets to call
 * leaves the others waiting, which a synchronisation reports once it has waited for long. */
#include "sim.h"

#include "kernels/cuda/nccl.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

namespace sim
{

/* What a rank brings to a meeting. */
struct Part {
    const void *send;
    void *receive;
    cudaStream_t stream; /* once it has submitted */
    size_t rank;
    bool here;
};

/* A gathering of all, or a message from one to another, and who has come to it. */
struct Meeting {
    size_t count;
    int type;
    std::vector<Part> parts; /* by rank, or sender and receiver */
    size_t submitted = 0;
    bool message, done = false;
};

struct Clique {
    size_t n, members = 0;
    std::vector<bool> joined, left; /* who left has no stream any more */
    std::map<std::string, size_t> sequence;                   /* of a place at a table */
    std::map<std::string, std::shared_ptr<Meeting>> meetings; /* by table and number */
};

static std::map<std::string, std::shared_ptr<Clique>> &cliques()
{
    static auto *m = new std::map<std::string, std::shared_ptr<Clique>>;
    return *m;
}

static void carry_out(Meeting &c)
{
    size_t n = c.parts.size(), bytes = c.count * sizeof(float);
    std::vector<char> all(bytes * n);

    if (c.message) {
        memcpy(c.parts[1].receive, c.parts[0].send, bytes);
        return;
    }
    for (size_t r = 0; r < n; r++)
        memcpy(&all[bytes * r], c.parts[r].send, bytes);
    for (const Part &p : c.parts)
        memcpy(p.receive, all.data(), all.size());
}

/* It is there; runs the streams of the others up to here.  False where somebody is missing. */
static bool meet(const Clique &q, Meeting &c, size_t place)
{
    Part &mine = c.parts[place];

    if (c.done || q.left[mine.rank] || device_lost(device_of(mine.stream)))
        return true;
    mine.here = true;
    if (c.submitted < c.parts.size())
        return false;
    for (Part &p : c.parts)
        if (!c.done && !p.here && !q.left[p.rank])
            drain(p.stream);
    if (c.done)
        return true;
    for (const Part &p : c.parts)
        if (!p.here)
            return false;
    carry_out(c);
    return c.done = true;
}

} // namespace sim

struct ncclComm {
    std::shared_ptr<sim::Clique> clique;
    size_t rank;
    int device;
};

using namespace sim;

extern "C" {

int ncclGetUniqueId(nccl_id *id)
{
    static int made;
    Lock lock;

    memset(id, 0, sizeof *id);
    snprintf(id->bytes, sizeof id->bytes, "clique %d", ++made);
    return NCCL_SUCCESS;
}

int ncclCommInitRank(ncclComm **comm, int n, nccl_id id, int rank)
{
    Lock lock;
    auto &q = cliques()[id.bytes];

    if (n < 1 || rank < 0 || rank >= n || (q && ((int)q->n != n || q->joined[(size_t)rank]))) {
        report("nccl", "rank %d of %d cannot join", rank, n);
        return NCCL_INVALID_ARGUMENT;
    }
    if (!q) {
        q = std::make_shared<Clique>();
        q->n = (size_t)n;
        q->joined.resize(q->n);
        q->left.resize(q->n);
    }
    q->joined[(size_t)rank] = true;
    q->members++;
    auto mine = q;
    if (!wait_until([&] { return mine->members == mine->n; })) {
        report("nccl", "rank %d of %d waits for others to join, who do not come", rank, n);
        return NCCL_SYSTEM_ERROR;
    }
    *comm = new ncclComm{ mine, (size_t)rank, current_device() };
    return NCCL_SUCCESS;
}

int ncclCommAbort(ncclComm *c)
{
    Lock lock;

    c->clique->left[c->rank] = true;
    drain_all();
    delete c;
    return NCCL_SUCCESS;
}

int ncclCommDestroy(ncclComm *c)
{
    Lock lock;

    drain_all();
    c->clique->left[c->rank] = true;
    delete c;
    return NCCL_SUCCESS;
}

/* Messages of a group are to different peers here, so one behind the other does. */
int ncclGroupStart(void)
{
    return NCCL_SUCCESS;
}

int ncclGroupEnd(void)
{
    return NCCL_SUCCESS;
}

const char *ncclGetErrorString(int r)
{
    return r ? "simulated failure" : "no error";
}

/* A rank takes its place at a table, for the meeting that is its next one there. */
static int submit(const std::string &table, size_t place, size_t places, Part part, size_t count,
                  int type, ncclComm *comm)
{
    std::shared_ptr<Clique> q = comm->clique;
    size_t number = q->sequence[table + "/" + std::to_string(place)]++;
    std::string name = table + "#" + std::to_string(number);
    auto &slot = q->meetings[name];

    if (!slot) {
        slot = std::make_shared<Meeting>();
        slot->count = count;
        slot->type = type;
        slot->message = table != "all";
        slot->parts.resize(places);
    }
    if (slot->count != count || slot->type != type || type != NCCL_FLOAT32)
        report("nccl", "rank %zu brings %zu elements of type %d, its peers %zu of type %d",
               comm->rank, count, type, slot->count, slot->type);
    if (device_of(part.stream) != comm->device)
        report("nccl", "rank %zu is of device %d, its stream of device %d", comm->rank,
               comm->device, device_of(part.stream));
    part.rank = comm->rank;
    slot->parts[place] = part;
    auto meeting = slot;
    if (++slot->submitted == places)
        q->meetings.erase(name);
    enqueue(part.stream, table == "all" ? "a gathering" : "a message",
            [=] { return meet(*q, *meeting, place); });
    return NCCL_SUCCESS;
}

static bool fits(const void *p, size_t floats, const char *what)
{
    return is_device(p) && span_fits(p, floats * sizeof(float), what);
}

int ncclAllGather(const void *send, void *receive, size_t count, int type, ncclComm *c,
                  cudaStream_t s)
{
    Lock lock;

    if (!fits(send, count, "send") || !fits(receive, count * c->clique->n, "receive"))
        return NCCL_INVALID_ARGUMENT;
    return submit("all", c->rank, c->clique->n, { send, receive, s, 0, false }, count, type, c);
}

static std::string table_of(size_t from, size_t to)
{
    return std::to_string(from) + ">" + std::to_string(to);
}

int ncclSend(const void *send, size_t count, int type, int peer, ncclComm *c, cudaStream_t s)
{
    Lock lock;

    if (!fits(send, count, "send") || peer < 0 || (size_t)peer >= c->clique->n)
        return NCCL_INVALID_ARGUMENT;
    return submit(table_of(c->rank, (size_t)peer), 0, 2, { send, nullptr, s, 0, false }, count,
                  type, c);
}

int ncclRecv(void *receive, size_t count, int type, int peer, ncclComm *c, cudaStream_t s)
{
    Lock lock;

    if (!fits(receive, count, "receive") || peer < 0 || (size_t)peer >= c->clique->n)
        return NCCL_INVALID_ARGUMENT;
    return submit(table_of((size_t)peer, c->rank), 1, 2, { nullptr, receive, s, 0, false }, count,
                  type, c);
}
}
