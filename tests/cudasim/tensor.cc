/* tensor.cc - ldmatrix and mma.sync: matrices in fragments over the lanes of a warp (PTX ISA,
 * "Matrix Fragments for mma.m16n8k16" and its neighbours). */
#include "halves.h"
#include "machine.h"

namespace sim
{

/* Matrix k of up to four comes from the addresses of lanes 8k .. 8k+7, a row of 8 halves each; lane
 * l then holds columns 2 (l % 4) and the next of row l / 4, or of the transposed matrix. */
static void run_ldmatrix(Machine &m, const Instruction &i, u32 active)
{
    int n = i.mode & 7;
    bool transposed = i.mode & 8;

    if (active != ~0u)
        report("divergent-collective", "ldmatrix by lanes %08x only", active);
    for (int k = 0; k < n; k++) {
        u16 rows[8][8];

        for (int r = 0; r < 8; r++) {
            const char *p;

            m.lane = k * 8 + r;
            p = machine_shared(m, (u32)lane_address(m, i.src[0], m.lane), 16, false, false);
            if (p)
                memcpy(rows[r], p, 16);
            else
                memset(rows[r], 0xff, 16);
        }
        for (int l = 0; l < LANES; l++) {
            int r = l / 4, c = l % 4 * 2;
            u32 low = transposed ? rows[c][r] : rows[r][c],
                high = transposed ? rows[c + 1][r] : rows[r][c + 1];

            lane_put(m, i.dst[k], l, high << 16 | low);
        }
    }
}

static Run pick_ldmatrix(Instruction &i, const Modifiers &m)
{
    i.mode = (u8)((m.has("x4") ? 4 : m.has("x2") ? 2 : 1) | (m.has("trans") ? 8 : 0));
    return m.has("m8n8") && m.has("b16") ? run_ldmatrix : nullptr;
}

/* d = a b + c, 16 x 8 (8 x 8 where a has one register), with E elements of a and b in a register of
 * 4 bytes.  Register j of a has rows g + 8 (j % 2) and columns E t + 4 E (j / 2) .. of lane 4 g +
 * t; register j of b has rows E t
 * + 4 E j .. and column g. */
template <class T, class Sum, int E, class Read>
static void multiply(Machine &m, const Instruction &i, int n_a, Read read)
{
    enum { K_MAX = 32 };
    Sum a[16][K_MAX], b[K_MAX][8];
    const int halves = n_a == 1 ? 1 : 2, n_b = n_a / halves, k_size = 4 * E * n_b; /* 8 rows each */

    for (int l = 0; l < LANES; l++) {
        int g = l / 4, t = l % 4;

        for (int j = 0; j < n_a; j++)
            for (int e = 0; e < E; e++)
                a[g + 8 * (j % halves)][E * t + e + 4 * E * (j / halves)] =
                    read((u32)lane_get(m, i.src[j], l), e);
        for (int j = 0; j < n_b; j++)
            for (int e = 0; e < E; e++)
                b[E * t + e + 4 * E * j][g] = read((u32)lane_get(m, i.src[n_a + j], l), e);
    }
    Sum out[16][8];
    for (int r = 0; r < 8 * halves; r++)
        for (int c = 0; c < 8; c++) {
            int lane = r % 8 * 4 + c / 2, j = r / 8 * 2 + c % 2;
            Sum s = unpack<Sum>((u32)lane_get(m, i.src[n_a + n_b + j], lane));

            for (int k = 0; k < k_size; k++)
                s += a[r][k] * b[k][c];
            out[r][c] = s;
        }
    for (int r = 0; r < 8 * halves; r++)
        for (int c = 0; c < 8; c++)
            lane_put(m, i.dst[r / 8 * 2 + c % 2], r % 8 * 4 + c / 2, pack<Sum>(out[r][c]));
}

enum MmaKind : u8 { M_HALF, M_BRAIN, M_INT8 };

/* mode: registers of a, and the kind above. */
static void run_mma(Machine &m, const Instruction &i, u32 active)
{
    int n_a = i.mode & 15;

    if (active != ~0u)
        report("divergent-collective", "mma by lanes %08x only", active);
    switch (i.mode >> 4) {
    case M_HALF:
        multiply<Half, float, 2>(m, i, n_a,
                                 [](u32 v, int e) { return half_to_float((u16)(v >> 16 * e)); });
        break;
    case M_BRAIN:
        multiply<Brain, float, 2>(m, i, n_a,
                                  [](u32 v, int e) { return float_of_bits((v >> 16 * e) << 16); });
        break;
    default:
        multiply<i8, i32, 4>(m, i, n_a, [](u32 v, int e) { return (i32)(i8)(v >> 8 * e); });
    }
}

static Run pick_mma(Instruction &i, const Modifiers &m)
{
    if (m.types.size() != 4 || m.types[0] != m.types[3] || !m.has("row") || !m.has("col"))
        return nullptr;
    Type of = m.types[1];
    bool f32 = i.type == Type::F32;

    if (of != m.types[2])
        return nullptr;
    if (f32 && (of == Type::F16 || of == Type::BF16) && (m.has("m16n8k16") || m.has("m16n8k8")))
        i.mode = (u8)((m.has("m16n8k16") ? 4 : 2) | (of == Type::F16 ? M_HALF : M_BRAIN) << 4);
    else if (i.type == Type::S32 && of == Type::S8 && !m.has("satfinite") &&
             (m.has("m16n8k32") || m.has("m16n8k16") || m.has("m8n8k16")))
        i.mode = (u8)((m.has("m16n8k32") ? 4 : m.has("m16n8k16") ? 2 : 1) | M_INT8 << 4);
    else
        return nullptr;
    return run_mma;
}

const Opcode opcodes_tensor[] = {
    { "ldmatrix", true, Flow::NEXT, pick_ldmatrix },
    { "mma", true, Flow::NEXT, pick_mma },
    { nullptr, false, Flow::NEXT, nullptr },
};

} // namespace sim
