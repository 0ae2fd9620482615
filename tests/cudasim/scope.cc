/* scope.cc - what the names of a kernel and its module mean, and operands made of them. */
#include "parser.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace sim
{

/* The same value in 32 lanes, as u64 and as u32. */
static const u64 *everywhere(u64 v)
{
    static auto *pool = new std::map<u64, u64 *>();
    u64 *&lanes = (*pool)[v];

    if (!lanes) {
        lanes = (u64 *)aligned_alloc(64, SLOT64_BYTES + SLOT32_BYTES);
        for (int l = 0; l < LANES; l++) {
            lanes[l] = v;
            ((u32 *)(lanes + LANES))[l] = (u32)v;
        }
    }
    return lanes;
}

static Operand constant(u64 v)
{
    Operand o;

    o.kind = Operand::VALUE;
    o.value = everywhere(v);
    return o;
}

u32 Scope::new_slot(Type t)
{
    u32 slot = (u32)kernel->register_bytes;

    kernel->register_bytes += type_size(t) == 8 ? SLOT64_BYTES : SLOT32_BYTES;
    return slot;
}

Operand Scope::in_register(Type t, u32 slot)
{
    Operand o;

    o.kind = type_size(t) == 8 ? Operand::REG64 : Operand::REG32;
    o.slot = slot;
    return o;
}

int Scope::special_named(const std::string &name)
{
    static const char *const names[N_SPECIAL] = {
        "%tid.x",       "%tid.y",       "%tid.z",       "%ntid.x",      "%ntid.y",
        "%ntid.z",      "%ctaid.x",     "%ctaid.y",     "%ctaid.z",     "%nctaid.x",
        "%nctaid.y",    "%nctaid.z",    "%laneid",      "%warpid",      "%lanemask_lt",
        "%lanemask_le", "%lanemask_gt", "%lanemask_ge", "%lanemask_eq", "%dynamic_smem_size",
        "%clock"
    };

    for (int i = 0; i < N_SPECIAL; i++)
        if (name == names[i])
            return i;
    return -1;
}

/* The address of a variable or parameter, or a place in dynamic shared memory. */
Operand Scope::symbol(const std::string &name, i64 plus)
{
    Operand o;

    if (parameters.count(name))
        return constant(parameters[name] + (u64)plus);
    if (module_shared.count(name) && !kernel->shared.count(name))
        add_shared(name, module_shared[name].bytes, module_shared[name].offset);
    if (kernel->shared.count(name))
        return constant(kernel->shared[name].offset + (u64)plus);
    if (locals.count(name))
        return constant(locals[name] + (u64)plus);
    if (module->globals.count(name))
        return constant((u64)module->globals[name].first + (u64)plus);
    if (dynamic.count(name)) {
        o = constant((u64)plus);
        o.dynamic = true;
        return o;
    }
    die("symbol '" + name + "' is not known");
}

Operand Scope::address()
{
    Operand o;
    i64 plus = 0;
    std::string name;

    if (at_number()) {
        o.kind = Operand::ADDRESS;
        o.displacement = (i64)number();
        expect("]");
        return o;
    }
    name = word();
    if (skip("+"))
        plus = (i64)number();
    expect("]");
    auto it = registers.find(name);
    if (it != registers.end()) {
        o.slot = it->second.second;
        o.wide = type_size(it->second.first) == 8;
        o.displacement = plus;
    } else {
        Operand s = symbol(name, plus);
        o.displacement = (i64)s.value[0];
        o.dynamic = s.dynamic;
    }
    o.kind = Operand::ADDRESS;
    return o;
}

Operand Scope::operand()
{
    bool negated = skip("!");
    Operand o;

    if (skip("["))
        return address();
    if (at_number())
        return constant(number());
    std::string name = word();
    if (name == "_")
        return o;
    if (name == "WARP_SZ")
        return constant(LANES);
    auto it = registers.find(name);
    if (it != registers.end())
        o = in_register(it->second.first, it->second.second);
    else if (special_named(name) >= 0)
        o = in_register(Type::B32, (u32)special_named(name) * SLOT32_BYTES);
    else {
        i64 plus = skip("+") ? (i64)number() : 0;
        o = symbol(name, plus);
    }
    o.negated = negated;
    return o;
}

/* One argument: an operand, {a, b, ...} or p|q. */
std::vector<Operand> Scope::argument()
{
    std::vector<Operand> list;

    if (skip("{")) {
        do
            list.push_back(operand());
        while (skip(","));
        expect("}");
        return list;
    }
    do
        list.push_back(operand());
    while (skip("|"));
    return list;
}

void Scope::declare_registers()
{
    Type t = type_named(word().substr(1));

    do {
        std::string name = word();

        if (skip("<")) {
            u64 n = number();

            expect(">");
            for (u64 k = 0; k < n; k++)
                registers[name + std::to_string(k)] = { t, new_slot(t) };
        } else {
            registers[name] = { t, new_slot(t) };
        }
    } while (skip(","));
    expect(";");
}

void Scope::add_shared(const std::string &name, size_t bytes, size_t align)
{
    size_t offset = align_up(kernel->shared_bytes, align);

    kernel->shared[name] = { offset, bytes };
    kernel->shared_bytes = offset + bytes;
}

void Scope::initialise(char *p, size_t element, size_t bytes)
{
    size_t i = 0;

    expect("{");
    if (!is("}"))
        do {
            u64 v;

            if (!at_number())
                die("initial values that are addresses are not known");
            v = number();
            if (i + element > bytes)
                die("more initial values than the variable holds");
            memcpy(p + i, &v, element);
            i += element;
        } while (skip(","));
    expect("}");
}

/* .shared, .local, .global or .const, behind that word: [.align n] .type name[n] [= {...}]; */
void Scope::declare_variable(Space space, bool is_extern)
{
    size_t align = 1, n = 1;
    Type t = Type::B8;
    std::string name;

    while (is(".align") || peek().text[0] == '.') {
        std::string d = take().text;

        if (d == ".align")
            align = number();
        else if (type_named(d.substr(1)) != Type::NONE)
            t = type_named(d.substr(1));
    }
    name = word();
    while (skip("[")) {
        n = is("]") ? 0 : n * number();
        expect("]");
    }
    align = std::max(align, type_size(t));
    size_t bytes = n * type_size(t);
    if (space == Space::SHARED && (is_extern || !bytes)) {
        dynamic.insert(name);
    } else if (space == Space::SHARED && kernel) {
        add_shared(name, bytes, align);
    } else if (space == Space::SHARED) {
        module_shared[name] = { align, bytes };
    } else if (space == Space::LOCAL) {
        locals[name] = align_up(kernel->local_bytes, align);
        kernel->local_bytes = locals[name] + bytes;
    } else {
        char *p = (char *)aligned_alloc(64, align_up(bytes + 1, 64));

        memset(p, 0, bytes);
        module->globals[name] = { p, bytes };
        if (skip("=")) {
            if (is("{")) {
                initialise(p, type_size(t), bytes);
            } else {
                u64 v = number();
                memcpy(p, &v, type_size(t));
            }
        }
    }
    expect(";");
}

bool Scope::space_named(const std::string &directive, Space *out)
{
    static const std::map<std::string, Space> spaces = { { ".shared", Space::SHARED },
                                                         { ".local", Space::LOCAL },
                                                         { ".global", Space::GLOBAL },
                                                         { ".const", Space::CONST } };
    auto it = spaces.find(directive);

    if (it == spaces.end())
        return false;
    *out = it->second;
    return true;
}

} // namespace sim
