/* types.cc - names and sizes of PTX's types. */
#include "ptx.h"

namespace sim
{

Type type_named(const std::string &name)
{
    static const std::map<std::string, Type> types = {
        { "pred", Type::PRED }, { "b8", Type::B8 },       { "u8", Type::U8 },
        { "s8", Type::S8 },     { "b16", Type::B16 },     { "u16", Type::U16 },
        { "s16", Type::S16 },   { "f16", Type::F16 },     { "bf16", Type::BF16 },
        { "b32", Type::B32 },   { "u32", Type::U32 },     { "s32", Type::S32 },
        { "f32", Type::F32 },   { "f16x2", Type::F16X2 }, { "bf16x2", Type::BF16X2 },
        { "b64", Type::B64 },   { "u64", Type::U64 },     { "s64", Type::S64 },
        { "f64", Type::F64 },
    };
    auto it = types.find(name);

    return it == types.end() ? Type::NONE : it->second;
}

size_t type_size(Type t)
{
    switch (t) {
    case Type::B8:
    case Type::U8:
    case Type::S8:
        return 1;
    case Type::B16:
    case Type::U16:
    case Type::S16:
    case Type::F16:
    case Type::BF16:
        return 2;
    case Type::B64:
    case Type::U64:
    case Type::S64:
    case Type::F64:
        return 8;
    default:
        return 4;
    }
}

bool Modifiers::has(const char *name) const
{
    for (const std::string &n : names)
        if (n == name)
            return true;
    return false;
}

} // namespace sim
