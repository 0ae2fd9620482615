/* peak.h - how much arithmetic an instruction set could do at best: the limit that airstrip-bench
 * holds the speed of prompts against.
 *
 * Operands and sums stay in registers, so nothing but the units that multiply is busy.  Any thread.
 */
#ifndef AIRSTRIP_CPU_PEAK_H
#define AIRSTRIP_CPU_PEAK_H

#include <stddef.h>

struct peak {
    const char *name; /* what is multiplied: "int8", "bf16", "float32"; NULL ends the list */

    /* Multiplies and adds `rounds` times: how many operations those were, a product and a sum being
     * two. */
    double (*run)(size_t rounds);
};

/* Each ended by a name of NULL. */
extern const struct peak peaks_scalar[], peaks_neon[], peaks_avx2[], peaks_avxvnni[],
    peaks_avx512[], peaks_avx512bf16[], peaks_amx[];

/* peak_avx512.c's, for tables that have more beside AVX-512. */
double peak_int8_avx512(size_t rounds);
double peak_float32_avx512(size_t rounds);

#endif
