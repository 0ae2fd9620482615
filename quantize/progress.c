#include "quantize/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/clock.h"

enum { WIDTH = 24, NAME_WIDTH = 26 };
static const double REDRAW_MS = 100;

static struct {
    bool quiet, terminal, drawn;
    size_t total, at;
    int tenths; /* that were told */
    double start_ms, last_ms;
} bar;

void progress_begin(bool quiet, size_t total_bytes)
{
    memset(&bar, 0, sizeof bar);
    bar.quiet = quiet;
    bar.terminal = isatty(STDERR_FILENO);
    bar.total = total_bytes;
    bar.start_ms = clock_ms();
}

/* "blk.3.attn_q.weight  [#######-----]  34 %  31 MB of 93 MB  120 MB/s  0:08" */
static void draw(const char *name)
{
    double share = bar.total ? (double)bar.at / (double)bar.total : 1;
    double s = (clock_ms() - bar.start_ms) / 1e3;
    double rate = s > 0 ? (double)bar.at / s : 0;
    int left_s = rate > 0 ? (int)((double)(bar.total - bar.at) / rate) : 0;
    char cells[WIDTH + 1] = "";

    for (int i = 0; i < WIDTH; i++)
        cells[i] = i < (int)(share * WIDTH) ? '#' : '-';
    fprintf(stderr, "\r\033[K%-*.*s [%s] %3d %%  %.0f MB of %.0f MB  %.0f MB/s  %d:%02d",
            NAME_WIDTH, NAME_WIDTH, name, cells, (int)(share * 100), (double)bar.at / 1e6,
            (double)bar.total / 1e6, rate / 1e6, left_s / 60, left_s % 60);
    fflush(stderr);
    bar.drawn = true;
}

void progress_add(const char *name, size_t bytes)
{
    double ms = clock_ms();
    int tenths;

    bar.at += bytes;
    tenths = bar.total ? (int)(10.0 * (double)bar.at / (double)bar.total) : 10;
    if (bar.quiet)
        return;
    if (!bar.terminal) {
        if (tenths > bar.tenths)
            fprintf(stderr, "%d %%\n", 10 * tenths);
        bar.tenths = tenths > bar.tenths ? tenths : bar.tenths;
        return;
    }
    if (ms - bar.last_ms < REDRAW_MS && bar.at < bar.total)
        return;
    bar.last_ms = ms;
    draw(name);
}

void progress_end(void)
{
    if (bar.drawn)
        fputc('\n', stderr);
    bar.drawn = false;
}
