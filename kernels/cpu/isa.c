/* isa.c - x86: CPUID says what the processor has, XGETBV what the system saves at a task switch:
 * both must agree (Intel SDM vol. 1, 14.3 and 15.2).  64-bit ARM: Linux says both in AT_HWCAP. */
#include "kernels/cpu/isa.h"

#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"
#include "kernels/base/log.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

struct candidate {
    const struct isa_ops *ops; /* NULL: this build has it not */
    const char *name;
    const char *(*missing)(void); /* what the machine lacks, or NULL */
};

#if defined(__x86_64__) || defined(__i386__)

/* Bits are named by leaf and register they are read from. */
enum {
    LEAF1_C_FMA = 1 << 12,
    LEAF1_C_OSXSAVE = 1 << 27,
    LEAF1_C_F16C = 1 << 29,
    LEAF7_B_AVX2 = 1 << 5,
    LEAF7_B_AVX512F = 1 << 16,
    LEAF7_B_AVX512DQ = 1 << 17,
    LEAF7_B_AVX512BW = 1 << 30,
    LEAF7_C_AVX512VNNI = 1 << 11,
    LEAF7_D_AMX_BF16 = 1 << 22,
    LEAF7_D_AMX_TILE = 1 << 24,
    LEAF7_D_AMX_INT8 = 1 << 25,
    LEAF7_1_A_AVXVNNI = 1 << 4,
    LEAF7_1_A_AVX512BF16 = 1 << 5, /* subleaf 1 */
    XCR0_YMM = 0x6,                /* XMM and YMM */
    XCR0_ZMM = 0xe6,               /* and mask registers, and both parts of ZMM */
    XCR0_TILES = 0x60000,          /* tile configuration and tile data */

    /* Linux hands tile data out on request, once per process (Documentation/arch/x86/xstate.rst) */
    ARCH_REQ_XCOMP_PERM = 0x1023,
    XFEATURE_XTILEDATA = 18,
};
static const unsigned LEAF7_B_AVX512VL = 1u << 31;

/* XCR0: register files that the system saves.  Only after OSXSAVE was seen. */
static unsigned enabled_state(void)
{
    unsigned a, d;

    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static const char *avx2_missing(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & LEAF1_C_OSXSAVE))
        return "the system does not save vector registers (OSXSAVE)";
    if ((enabled_state() & XCR0_YMM) != XCR0_YMM)
        return "the system does not save the YMM registers";
    if (!(c & LEAF1_C_FMA) || !(c & LEAF1_C_F16C))
        return "the processor lacks FMA or F16C";
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & LEAF7_B_AVX2))
        return "the processor lacks AVX2";
    return NULL;
}

static const char *avxvnni_missing(void)
{
    const char *missing = avx2_missing();
    unsigned a, b, c, d;

    if (missing)
        return missing;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & LEAF7_1_A_AVXVNNI))
        return "the processor lacks AVX-VNNI";
    return NULL;
}

static const char *avx512_missing(void)
{
    const unsigned want_b =
        LEAF7_B_AVX512F | LEAF7_B_AVX512DQ | LEAF7_B_AVX512BW | LEAF7_B_AVX512VL;
    const char *missing = avx2_missing();
    unsigned a, b, c, d;

    if (missing)
        return missing;
    if ((enabled_state() & XCR0_ZMM) != XCR0_ZMM)
        return "the system does not save the ZMM registers";
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & want_b) != want_b)
        return "the processor lacks AVX-512 F, BW, DQ or VL";
    if (!(c & LEAF7_C_AVX512VNNI))
        return "the processor lacks AVX-512 VNNI";
    return NULL;
}

static const char *avx512bf16_missing(void)
{
    const char *missing = avx512_missing();
    unsigned a, b, c, d;

    if (missing)
        return missing;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & LEAF7_1_A_AVX512BF16))
        return "the processor lacks AVX-512 BF16";
    return NULL;
}

#ifdef HAVE_ISA_AMX
static pthread_once_t tiles_once = PTHREAD_ONCE_INIT;
static const char *tiles_refused; /* why tiles that should be there cannot be used, or NULL */

static void try_tiles(void)
{
    if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) != 0)
        tiles_refused = "the system does not permit AMX tiles";
    else
        tiles_refused = amx_probe();
    if (tiles_refused)
        log_msg(LOG_WARN, "isa", "AMX is left out: %s", tiles_refused);
}
#endif

static const char *amx_missing(void)
{
    const unsigned want_d = LEAF7_D_AMX_BF16 | LEAF7_D_AMX_TILE | LEAF7_D_AMX_INT8;
    const char *missing = avx512bf16_missing();
    unsigned a, b, c, d;

    if (missing)
        return missing;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & want_d) != want_d)
        return "the processor lacks AMX with INT8 and BF16";
    if ((enabled_state() & XCR0_TILES) != XCR0_TILES)
        return "the system does not save AMX tiles";
#ifdef HAVE_ISA_AMX
    pthread_once(&tiles_once, try_tiles);
    missing = tiles_refused;
#endif
    return missing;
}

#else

static const char *avx2_missing(void)
{
    return "the processor is no x86";
}

static const char *avxvnni_missing(void)
{
    return "the processor is no x86";
}

static const char *avx512_missing(void)
{
    return "the processor is no x86";
}

static const char *avx512bf16_missing(void)
{
    return "the processor is no x86";
}

static const char *amx_missing(void)
{
    return "the processor is no x86";
}

#endif

#if defined(__aarch64__) && defined(__linux__)

static const char *neon_missing(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? NULL
                                               : "the processor lacks dot products (ASIMDDP)";
}

#else

static const char *neon_missing(void)
{
    return "the processor is no 64-bit ARM, or the system no Linux";
}

#endif

static const char *nothing_missing(void)
{
    return NULL;
}

/* Fastest first. */
static const struct candidate candidates[] = {
#ifdef HAVE_ISA_AMX
    { &isa_amx, "amx", amx_missing },
#else
    { NULL, "amx", amx_missing },
#endif
#ifdef HAVE_ISA_AVX512BF16
    { &isa_avx512bf16, "avx512bf16", avx512bf16_missing },
#else
    { NULL, "avx512bf16", avx512bf16_missing },
#endif
#ifdef HAVE_ISA_AVX512
    { &isa_avx512, "avx512", avx512_missing },
#else
    { NULL, "avx512", avx512_missing },
#endif
#ifdef HAVE_ISA_NEON
    { &isa_neon, "neon", neon_missing },
#else
    { NULL, "neon", neon_missing },
#endif
#ifdef HAVE_ISA_AVXVNNI
    { &isa_avxvnni, "avxvnni", avxvnni_missing },
#else
    { NULL, "avxvnni", avxvnni_missing },
#endif
#ifdef HAVE_ISA_AVX2
    { &isa_avx2, "avx2", avx2_missing },
#else
    { NULL, "avx2", avx2_missing },
#endif
    { &isa_scalar, "scalar", nothing_missing },
};

enum { N_CANDIDATES = sizeof candidates / sizeof *candidates };

const char *const *isa_names(void)
{
    static const char *const names[] = { "amx",  "avx512bf16", "avx512", "avxvnni",
                                         "avx2", "neon",       "scalar", NULL };

    return names;
}

const struct isa_ops *isa_pick(const char *name, struct err *e)
{
    for (size_t i = 0; i < N_CANDIDATES; i++) {
        const struct candidate *c = &candidates[i];
        const char *missing = c->ops ? c->missing() : "this program was built without it";

        if (!name || !*name) {
            if (!missing)
                return c->ops;
        } else if (strcmp(name, c->name) == 0) {
            if (!missing)
                return c->ops;
            err_set(e, ERR_UNSUPPORTED, "instruction set %s cannot be used: %s", name, missing);
            return NULL;
        }
    }
    err_set(e, ERR_UNSUPPORTED,
            "instruction set \"%s\" is not known: expected amx, avx512bf16, avx512, avxvnni, avx2, "
            "neon "
            "or scalar",
            name ? name : "");
    return NULL;
}
