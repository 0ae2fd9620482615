#include "tools/probe.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernels/quant/quant.h"

enum {
    CHUNK_BLOCKS = 64,
    MAX_BLOCK_VALUES = 256,
    MAX_BLOCK_BYTES = 4 * MAX_BLOCK_VALUES, /* no format is larger than the floats it stands for */
};

static int write_floats(const float *y, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &y[i], sizeof bits);
        bits = htole32(bits);
        if (fwrite(&bits, sizeof bits, 1, stdout) != 1)
            return err_set(e, ERR_IO, "cannot write to standard output: %s", strerror(errno));
    }
    return 0;
}

int probe_dequant(int argc, char **argv, struct err *e)
{
    static unsigned char blocks[CHUNK_BLOCKS * MAX_BLOCK_BYTES];
    static float y[CHUNK_BLOCKS * MAX_BLOCK_VALUES];
    const struct quant_format *f;
    size_t got, total = 0;
    int rc;

    if (argc != 2)
        return err_set(e, ERR_INVALID, "expected one argument, the type; found %d", argc - 1);
    f = quant_by_name(argv[1]);
    if (!f)
        return err_set(e, ERR_INVALID, "no type is called '%s'", argv[1]);
    if (f->block_values > MAX_BLOCK_VALUES || f->block_bytes > MAX_BLOCK_BYTES)
        return err_set(e, ERR_INTERNAL, "blocks of %s are too large", f->name);
    do {
        got = fread(blocks, 1, CHUNK_BLOCKS * f->block_bytes, stdin);
        total += got;
        f->decode(y, blocks, got / f->block_bytes);
        rc = write_floats(y, got / f->block_bytes * f->block_values, e);
        if (rc != 0)
            return rc;
    } while (got == CHUNK_BLOCKS * f->block_bytes);
    if (ferror(stdin))
        return err_set(e, ERR_IO, "cannot read from standard input: %s", strerror(errno));
    if (total % f->block_bytes != 0)
        return err_set(e, ERR_FORMAT, "%zu bytes are no whole number of %s blocks of %zu bytes",
                       total, f->name, f->block_bytes);
    return 0;
}
