/* stage.c - small arrays of the host on their way to the device, and the rows of a batch. */
#include <string.h>

#include "kernels/cuda/device.h"

enum { ALIGN = 64 };

int stage_open(struct device *d, size_t bytes, struct err *e)
{
    struct stage *s = &d->stage;
    cudaError_t r = cudaMallocHost((void **)&s->host, bytes);

    if (r == cudaSuccess)
        r = cudaMalloc((void **)&s->device, bytes);
    if (r != cudaSuccess)
        return device_error(d, r, e, "a buffer for requests", bytes);
    s->bytes = bytes;
    s->rewound = true;
    return 0;
}

void stage_close(struct device *d)
{
    cudaFreeHost(d->stage.host);
    cudaFree(d->stage.device);
    d->stage = (struct stage){ 0 };
}

void stage_forget(struct device *d)
{
    d->stage.used = 0;
    memset(d->batches, 0, sizeof d->batches);
    memset(d->ropes, 0, sizeof d->ropes);
    d->next_batch = d->next_rope = 0; /* so that a step has the same places each time */
}

/* What was staged has been read once the stream is through; then all of it is free, or a larger one
 * takes its place. */
static bool make_room(struct device *d, size_t bytes)
{
    struct stage old = d->stage;

    if (!device_wait(d))
        return false;
    stage_forget(d);
    d->stage.rewound = true;
    if (bytes <= old.bytes)
        return true;
    if (stage_open(d, bytes * 2, NULL) != 0) {
        d->broken = cudaErrorMemoryAllocation;
        return false;
    }
    cudaFreeHost(old.host);
    cudaFree(old.device);
    return true;
}

void *stage_take(struct device *d, size_t bytes, void **on_device)
{
    struct stage *s = &d->stage;
    size_t at = (s->used + ALIGN - 1) / ALIGN * ALIGN;

    if (at + bytes > s->bytes) {
        if (!make_room(d, bytes))
            return NULL;
        at = 0;
    }
    s->used = at + bytes;
    *on_device = s->device + at;
    return s->host + at;
}

void stage_send(struct device *d, const void *host, void *on_device, size_t bytes)
{
    if (!d->replaying)
        device_ok(d, cudaMemcpyAsync(on_device, host, bytes, cudaMemcpyHostToDevice, d->stream));
}

/* One behind the last position that any of its rows sees. */
static size_t end_of(const struct seq_span *s)
{
    return s->reach ? s->reach : s->pos + s->n;
}

static size_t pages_of(const struct seq_span *s, size_t page_tokens)
{
    return (end_of(s) + page_tokens - 1) / page_tokens;
}

static size_t power_of_two(size_t n)
{
    size_t p = 1;

    while (p < n)
        p *= 2;
    return p;
}

struct batch_shape stage_shape(const struct seq_span *spans, size_t n_spans, size_t page_tokens)
{
    struct batch_shape s = { 0, 0 };

    for (size_t i = 0; i < n_spans; i++) {
        s.n_pages += pages_of(&spans[i], page_tokens);
        s.longest = end_of(&spans[i]) > s.longest ? end_of(&spans[i]) : s.longest;
    }
    return (struct batch_shape){ power_of_two(s.n_pages), power_of_two(s.longest) };
}

static void fill_rows(struct cuda_row *rows, int32_t *pages, const struct seq_span *spans,
                      size_t n_spans, size_t page_tokens)
{
    int32_t at = 0;

    for (size_t i = 0; i < n_spans; i++) {
        const struct seq_span *s = &spans[i];
        size_t n = pages_of(s, page_tokens);

        for (size_t r = 0; r < s->n; r++)
            rows[s->row + r] =
                (struct cuda_row){ (int32_t)(s->pos + r), at, s->far, (int32_t)s->reach };
        memcpy(pages + at, s->pages, n * sizeof *pages);
        at += (int32_t)n;
    }
}

/* Returns how many. */
static unsigned fill_tiles(struct cuda_tile *tiles, const struct seq_span *spans, size_t n_spans)
{
    unsigned n = 0;

    for (size_t i = 0; i < n_spans; i++)
        for (size_t at = 0; at < spans[i].n; at += CUDA_TILE_ROWS) {
            size_t left = spans[i].n - at;

            tiles[n++] =
                (struct cuda_tile){ (int32_t)(spans[i].row + at),
                                    (int32_t)(left < CUDA_TILE_ROWS ? left : CUDA_TILE_ROWS) };
        }
    return n;
}

/* Side by side: rows, tiles (no more than rows), pages. */
const struct batch_rows *stage_rows(struct device *d, const struct seq_span *spans, size_t n_spans,
                                    size_t n, size_t page_tokens)
{
    struct batch_rows *b;
    struct batch_shape shape;
    struct cuda_tile *tiles;
    struct cuda_row *rows;
    unsigned n_tiles;
    void *on_device;
    size_t bytes;

    for (size_t i = 0; i < BATCHES; i++)
        if (d->batches[i].spans == spans && d->batches[i].n_spans == n_spans)
            return &d->batches[i];
    shape = stage_shape(spans, n_spans, page_tokens);
    bytes = n * (sizeof *rows + sizeof *tiles) + shape.n_pages * sizeof(int32_t);
    rows = stage_take(d, bytes, &on_device);
    if (!rows)
        return NULL;
    tiles = (struct cuda_tile *)(rows + n);
    fill_rows(rows, (int32_t *)(tiles + n), spans, n_spans, page_tokens);
    n_tiles = fill_tiles(tiles, spans, n_spans);
    stage_send(d, rows, on_device, bytes);
    b = &d->batches[d->next_batch++ % BATCHES];
    *b = (struct batch_rows){ .spans = spans,
                              .n_spans = n_spans,
                              .rows = on_device,
                              .tiles = (const struct cuda_tile *)((struct cuda_row *)on_device + n),
                              .n_tiles = n_tiles,
                              .longest = shape.longest };
    b->pages = (const int32_t *)(b->tiles + n);
    return b;
}
