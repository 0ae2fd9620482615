/* ptx.h - a module of PTX as the simulator runs it (PTX ISA 9.0,
 * docs.nvidia.com/cuda/parallel-thread-execution).
 *
 * The one idea: a register is 32 lanes in a row, 4 bytes each or 8, at a place in a warp's register
 * file that the parser chose; an instruction knows those places and the function that runs it over
 * the active lanes. */
#ifndef CUDASIM_PTX_H
#define CUDASIM_PTX_H

#include "sim.h"

#include <map>
#include <memory>

namespace sim
{

enum class Type : u8 {
    NONE,
    PRED,
    B8,
    U8,
    S8,
    B16,
    U16,
    S16,
    F16,
    BF16,
    B32,
    U32,
    S32,
    F32,
    F16X2,
    BF16X2,
    B64,
    U64,
    S64,
    F64
};

Type type_named(const std::string &name); /* NONE where there is none of that name */
size_t type_size(Type t);                 /* bytes; 4 for a predicate */
inline bool type_is_float(Type t)
{
    return t == Type::F16 || t == Type::BF16 || t == Type::F32 || t == Type::F64;
}
inline bool type_is_signed(Type t)
{
    return t == Type::S8 || t == Type::S16 || t == Type::S32 || t == Type::S64;
}

enum class Space : u8 { GENERIC, GLOBAL, SHARED, LOCAL, PARAM, CONST };

enum { LANES = 32 };

struct Operand {
    enum Kind : u8 {
        NONE,    /* "_": a result that nobody wants */
        REG32,   /* `slot` has 32 lanes of 4 bytes */
        REG64,   /* ... of 8 bytes */
        VALUE,   /* `value`: the same in all lanes */
        ADDRESS, /* [register + displacement], or [displacement] where slot is NO_SLOT */
    } kind = NONE;
    bool negated = false; /* !predicate */
    bool dynamic = false; /* behind the static shared memory of the launch: added when it runs */
    bool wide = false;    /* ADDRESS: the register has 8 bytes */
    u32 slot = NO_SLOT;
    i64 displacement = 0;
    const u64 *value = nullptr; /* 32 times as u64, then 32 times as u32 */

    static const u32 NO_SLOT = ~0u;
};

struct Machine;
struct Instruction;
struct Kernel;
struct Module;

/* Runs an instruction over the active lanes. */
using Run = void (*)(Machine &m, const Instruction &i, u32 active);

enum class Flow : u8 {
    NEXT,
    BRANCH,
    BRANCH_INDEX, /* brx.idx */
    EXIT,
    BARRIER,    /* of the block */
    COLLECTIVE, /* all lanes of a mask come together: shuffles, votes, __syncwarp */
};

struct Instruction {
    Run run = nullptr;
    Flow flow = Flow::NEXT;
    Type type = Type::NONE,
         from = Type::NONE; /* of the result; of the source where another is named */
    Space space = Space::GENERIC;
    u8 vector = 1; /* elements of a load or store */
    u8 mode = 0;   /* what an opcode makes of its modifiers */
    bool saturate = false;
    u8 n_dst = 0, n_src = 0;
    Operand dst[8], src[12];
    u32 guard = Operand::NO_SLOT; /* @p */
    bool guard_not = false;
    std::vector<int> targets; /* of a branch */
    int line = 0, file = 0;   /* of the CUDA source */
    std::string text;
};

struct Variable {
    size_t offset, bytes;
};

struct Parameter {
    size_t offset, bytes;
};

/* What CUDASIM_COUNTERS prints. */
struct Counters {
    u64 launches = 0, instructions = 0, lanes = 0; /* instructions of warps; active lanes of them */
    u64 sectors = 0, ideal_sectors = 0;            /* 32 bytes of global memory */
    u64 shared_requests = 0, shared_passes = 0;    /* passes beyond requests are bank conflicts */
};

struct Kernel {
    std::string name;
    Module *module = nullptr;
    std::vector<Instruction> code;
    std::vector<Parameter> parameters;
    size_t parameter_bytes = 0, register_bytes = 0, shared_bytes = 0, local_bytes = 0;
    std::map<std::string, Variable> shared; /* by name */
    bool uses_async = false;                /* cp.async */
    unsigned max_threads = 0;               /* .maxntid, or 0 */
    Counters counters;
};

struct Module {
    std::string text; /* instructions and names borrow nothing from it */
    std::map<std::string, std::unique_ptr<Kernel>> kernels;
    std::map<std::string, std::pair<char *, size_t>> globals; /* .global and .const variables */
    std::map<int, std::string> files;
};

/* Special registers, each at the same place in every register file: slots of 4 bytes a lane. */
enum Special {
    TID_X,
    TID_Y,
    TID_Z,
    NTID_X,
    NTID_Y,
    NTID_Z,
    CTAID_X,
    CTAID_Y,
    CTAID_Z,
    NCTAID_X,
    NCTAID_Y,
    NCTAID_Z,
    LANEID,
    WARPID,
    LANEMASK_LT,
    LANEMASK_LE,
    LANEMASK_GT,
    LANEMASK_GE,
    LANEMASK_EQ,
    DYNAMIC_SMEM,
    CLOCK,
    N_SPECIAL
};
enum { SLOT32_BYTES = LANES * 4, SLOT64_BYTES = LANES * 8 };

/* Parses a module; a text that cannot be parsed, or an instruction that the simulator does not
 * know, ends the process with a sentence that names it: a test must not go on as if it had been
 * run. */
Module *ptx_parse(const std::string &text);

/* --- opcodes -------------------------------------------------------------------------------- */

/* The parts of "ld.global.nc.v4.f32" behind the first. */
struct Modifiers {
    std::vector<std::string> names;
    std::vector<Type> types;

    bool has(const char *name) const;
};

struct Opcode {
    const char *name;
    bool has_result; /* the first operand is written */
    Flow flow;
    /* Chooses the function by types and modifiers; may set mode, targets aside.  nullptr: not
     * known. */
    Run (*pick)(Instruction &i, const Modifiers &m);
};

const Opcode *opcode_named(const std::string &name); /* nullptr where there is none */

extern const Opcode opcodes_arithmetic[], opcodes_bits[], opcodes_convert[], opcodes_memory[],
    opcodes_warp[], opcodes_tensor[];

} // namespace sim

#endif
