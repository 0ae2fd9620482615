#include "fetch/bar.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/clock.h"

enum { WIDTH = 24, NAME_WIDTH = 30 };
static const double REDRAW_MS = 100;

static struct {
    bool quiet, terminal, drawn;
    size_t total, done; /* bytes of all files; of those that are complete */
    const char *name;
    size_t bytes, at; /* of the file */
    size_t skipped;   /* bytes that were here before: they say nothing of the speed */
    bool counting;    /* the file's first bar_at() was seen */
    double start_ms, last_ms;
} bar;

const char *bar_size(char out[static BAR_SIZE_BYTES], double bytes)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    size_t u = 0;

    while (bytes >= 999.95 && u + 1 < sizeof units / sizeof *units) {
        bytes /= 1000;
        u++;
    }
    snprintf(out, BAR_SIZE_BYTES, u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return out;
}

void bar_begin(bool quiet, size_t total_bytes)
{
    memset(&bar, 0, sizeof bar);
    bar.quiet = quiet;
    bar.terminal = isatty(STDERR_FILENO);
    bar.total = total_bytes;
    bar.start_ms = clock_ms();
}

/* "model.safetensors  [#######-----]  34 %  31.2 MB of 93.4 MB  8.1 MB/s  0:08" */
static void draw(void)
{
    char here[BAR_SIZE_BYTES], all[BAR_SIZE_BYTES], speed[BAR_SIZE_BYTES], cells[WIDTH + 1];
    size_t at = bar.done + bar.at;
    double share = bar.total ? (double)at / (double)bar.total : 1;
    double s = (clock_ms() - bar.start_ms) / 1e3;
    double rate = s > 0 && at > bar.skipped ? (double)(at - bar.skipped) / s : 0;
    double left_s = rate > 0 ? (double)(bar.total - at) / rate : 0;
    size_t name_len = strlen(bar.name);

    for (int i = 0; i < WIDTH; i++)
        cells[i] = i < (int)(share * WIDTH) ? '#' : '-';
    cells[WIDTH] = '\0';
    fprintf(stderr, "\r\033[K%-*.*s [%s] %3d %%  %s of %s  %s/s", NAME_WIDTH, NAME_WIDTH,
            name_len > NAME_WIDTH ? bar.name + name_len - NAME_WIDTH : bar.name, cells,
            (int)(share * 100), bar_size(here, (double)at), bar_size(all, (double)bar.total),
            bar_size(speed, rate));
    if (rate > 0 && left_s < 360000)
        fprintf(stderr, "  %d:%02d", (int)left_s / 60, (int)left_s % 60);
    fflush(stderr);
    bar.drawn = true;
}

static void draw_now_and_then(bool now)
{
    double ms = clock_ms();

    if (bar.quiet || !bar.terminal || (!now && ms - bar.last_ms < REDRAW_MS))
        return;
    bar.last_ms = ms;
    draw();
}

void bar_file(const char *name, size_t bytes)
{
    bar.name = name;
    bar.bytes = bytes;
    bar.at = 0;
    bar.counting = false;
    draw_now_and_then(true);
}

void bar_at(size_t bytes)
{
    if (!bar.counting) /* what an earlier run left */
        bar.skipped += bytes;
    bar.counting = true;
    bar.at = bytes < bar.bytes ? bytes : bar.bytes;
    draw_now_and_then(false);
}

void bar_file_done(bool fetched)
{
    char size[BAR_SIZE_BYTES];

    if (!fetched)
        bar.skipped += bar.bytes;
    bar.done += bar.bytes;
    bar.at = 0;
    if (!bar.quiet && !bar.terminal)
        fprintf(stderr, "%s  %s%s\n", bar.name, bar_size(size, (double)bar.bytes),
                fetched ? "" : "  (here already)");
    draw_now_and_then(true);
}

void bar_end(void)
{
    if (bar.drawn)
        fputc('\n', stderr);
    bar.drawn = false;
}

void bar_note(const char *fmt, ...)
{
    va_list args;

    bar_end();
    fputs("airstrip-fetch: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}
