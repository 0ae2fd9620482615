/* parser.cc - PTX text to kernels: directives, registers, variables, labels, operands. */
#include "lexer.h"
#include "ptx.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

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

static size_t align_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

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

struct Parser {
    std::vector<Token> tokens;
    size_t at = 0;
    Module *module;
    Kernel *kernel = nullptr;
    int line = 0, file = 0;
    std::map<std::string, std::pair<Type, u32>> registers;
    std::map<std::string, int> labels;
    std::map<std::string, std::vector<std::string>> tables; /* .branchtargets */
    std::map<std::string, size_t> parameters;               /* offset by name */
    std::map<std::string, size_t> locals;
    std::map<std::string, Variable> module_shared;
    std::set<std::string> dynamic; /* names of extern shared memory: all are the same place */
    std::vector<std::pair<size_t, std::vector<std::string>>> branches;

    [[noreturn]] void die(const std::string &what)
    {
        fprintf(stderr, "cudasim: line %d of the PTX, kernel %s: %s\n", peek().line,
                kernel ? kernel->name.c_str() : "-", what.c_str());
        abort();
    }

    const Token &peek(size_t ahead = 0)
    {
        return tokens[std::min(at + ahead, tokens.size() - 1)];
    }
    bool is(const char *text)
    {
        return peek().text == text && peek().kind != Token::STRING;
    }
    Token take()
    {
        return tokens[at < tokens.size() - 1 ? at++ : at];
    }

    bool skip(const char *text)
    {
        if (!is(text))
            return false;
        at++;
        return true;
    }

    void expect(const char *text)
    {
        if (!skip(text))
            die(std::string("expected '") + text + "', found '" + peek().text + "'");
    }

    std::string word()
    {
        if (peek().kind != Token::WORD)
            die("expected a name, found '" + peek().text + "'");
        return take().text;
    }

    void skip_line() /* directives without a semicolon */
    {
        int here = peek().line;

        while (peek().kind != Token::END && peek().line == here)
            at++;
    }

    void skip_block() /* behind its '{' */
    {
        for (int depth = 1; depth && peek().kind != Token::END; at++)
            depth += is("{") ? 1 : is("}") ? -1 : 0;
    }

    /* Bits of a number: decimal, 0x, 0f and 0d (IEEE bits in hexadecimal), with a sign. */
    u64 number()
    {
        bool negative = skip("-");
        std::string t = take().text;
        u64 v;

        if (t.size() > 2 && t[0] == '0' && strchr("fFdD", t[1]) &&
            (t[1] == 'f' || t[1] == 'F' ? t.size() == 10 : t.size() == 18))
            v = strtoull(t.c_str() + 2, nullptr, 16);
        else
            v = strtoull(t.c_str(), nullptr, 0);
        return negative ? (u64)0 - v : v;
    }

    bool at_number()
    {
        return peek().kind == Token::NUMBER || (is("-") && peek(1).kind == Token::NUMBER);
    }

    u32 new_slot(Type t)
    {
        u32 slot = (u32)kernel->register_bytes;

        kernel->register_bytes += type_size(t) == 8 ? SLOT64_BYTES : SLOT32_BYTES;
        return slot;
    }

    Operand in_register(Type t, u32 slot)
    {
        Operand o;

        o.kind = type_size(t) == 8 ? Operand::REG64 : Operand::REG32;
        o.slot = slot;
        return o;
    }

    static int special_named(const std::string &name)
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
    Operand symbol(const std::string &name, i64 plus)
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

    Operand address()
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

    Operand operand()
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
    std::vector<Operand> argument()
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

    /* --- variables -------------------------------------------------------------------------- */

    void declare_registers()
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

    void add_shared(const std::string &name, size_t bytes, size_t align)
    {
        size_t offset = align_up(kernel->shared_bytes, align);

        kernel->shared[name] = { offset, bytes };
        kernel->shared_bytes = offset + bytes;
    }

    void initialise(char *p, size_t element, size_t bytes)
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
    void declare_variable(Space space, bool is_extern)
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

    static bool space_named(const std::string &directive, Space *out)
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

    /* --- instructions ----------------------------------------------------------------------- */

    Modifiers modifiers(Instruction &i, const std::string &mnemonic, std::string *base)
    {
        static const std::map<std::string, Space> spaces = {
            { "global", Space::GLOBAL },      { "shared", Space::SHARED },
            { "shared::cta", Space::SHARED }, { "local", Space::LOCAL },
            { "param", Space::PARAM },        { "const", Space::CONST },
        };
        Modifiers m;
        size_t from = mnemonic.find('.');

        *base = mnemonic.substr(0, from);
        while (from != std::string::npos) {
            size_t to = mnemonic.find('.', from + 1);
            std::string part =
                mnemonic.substr(from + 1, to == std::string::npos ? to : to - from - 1);
            auto space = spaces.find(part);

            from = to;
            m.names.push_back(part);
            if (type_named(part) != Type::NONE)
                m.types.push_back(type_named(part));
            if (space != spaces.end() && i.space == Space::GENERIC)
                i.space = space->second;
            if (part == "v2" || part == "v4" || part == "v8")
                i.vector = (u8)(part[1] - '0');
            if (part == "sat")
                i.saturate = true;
        }
        if (!m.types.empty()) {
            i.type = m.types[0];
            i.from = m.types.size() > 1 ? m.types[1] : m.types[0];
        }
        return m;
    }

    void instruction()
    {
        Instruction i;
        std::string base, mnemonic;
        std::vector<std::string> targets;
        size_t from = at;

        if (skip("@")) {
            i.guard_not = skip("!");
            std::string name = word();
            if (!registers.count(name))
                die("predicate '" + name + "' is not known");
            i.guard = registers[name].second;
        }
        mnemonic = word();
        Modifiers m = modifiers(i, mnemonic, &base);
        const Opcode *op = opcode_named(base);
        if (!op)
            die("instruction '" + mnemonic + "' is not known");
        i.flow = op->flow;
        i.line = line;
        i.file = file;
        if (op->flow == Flow::BRANCH) {
            targets.push_back(word());
        } else if (op->flow == Flow::BRANCH_INDEX) {
            i.src[i.n_src++] = operand();
            expect(",");
            targets.push_back(word());
        } else {
            for (bool first = true; !is(";"); first = false) {
                std::vector<Operand> list = argument();

                for (const Operand &o : list)
                    if (first && op->has_result && i.n_dst < 8)
                        i.dst[i.n_dst++] = o;
                    else if (i.n_src < 12)
                        i.src[i.n_src++] = o;
                    else
                        die("too many operands");
                if (!skip(","))
                    break;
            }
        }
        expect(";");
        for (size_t t = from; t < at; t++)
            i.text += (t > from && tokens[t].kind != Token::MARK ? " " : "") + tokens[t].text;
        i.run = op->pick ? op->pick(i, m) : nullptr;
        if (op->pick && !i.run)
            die("this form of '" + mnemonic + "' is not known");
        if (base == "cp")
            kernel->uses_async = true;
        if (!targets.empty())
            branches.push_back({ kernel->code.size(), targets });
        kernel->code.push_back(i);
    }

    void location()
    {
        file = (int)number();
        line = (int)number();
        skip_line(); /* the column, and where it was inlined */
    }

    void label(const std::string &name)
    {
        labels[name] = (int)kernel->code.size();
        if (!skip(".branchtargets"))
            return;
        do
            tables[name].push_back(word());
        while (skip(","));
        expect(";");
    }

    int place(const std::string &name)
    {
        if (!labels.count(name))
            die("label '" + name + "' is not known");
        return labels[name];
    }

    void body() /* behind its '{' */
    {
        Space space;

        for (int depth = 1; depth;) {
            if (peek().kind == Token::END)
                die("the text ends within a kernel");
            if (skip("{"))
                depth++;
            else if (skip("}"))
                depth--;
            else if (skip(".loc"))
                location();
            else if (skip(".reg"))
                declare_registers();
            else if (space_named(peek().text, &space)) {
                at++;
                declare_variable(space, false);
            } else if (is(".pragma")) {
                while (!skip(";"))
                    at++;
            } else if (peek(1).text == ":" && peek(1).kind == Token::MARK) {
                std::string name = word();
                at++;
                label(name);
            } else {
                instruction();
            }
        }
        for (auto &b : branches) {
            const std::string &name = b.second[0];

            if (tables.count(name))
                for (const std::string &t : tables[name])
                    kernel->code[b.first].targets.push_back(place(t));
            else
                kernel->code[b.first].targets.push_back(place(name));
        }
        Instruction last;
        last.flow = Flow::EXIT;
        last.text = "(the end)";
        kernel->code.push_back(last);
    }

    void parameter()
    {
        Type t = Type::NONE;
        size_t align = 0, n = 1;
        std::string name;

        expect(".param");
        while (peek().text[0] == '.') {
            std::string d = take().text;

            if (d == ".align") {
                size_t a = number();
                if (t == Type::NONE) /* else it is said of what a pointer points to */
                    align = a;
            } else if (t == Type::NONE) {
                t = type_named(d.substr(1));
            }
        }
        name = word();
        if (skip("[")) {
            n = number();
            expect("]");
        }
        size_t offset = align_up(kernel->parameter_bytes, std::max(align, type_size(t)));
        parameters[name] = offset;
        kernel->parameters.push_back({ offset, n * type_size(t) });
        kernel->parameter_bytes = offset + n * type_size(t);
    }

    void entry()
    {
        kernel = new Kernel;
        kernel->name = word();
        kernel->module = module;
        kernel->register_bytes = N_SPECIAL * SLOT32_BYTES;
        module->kernels[kernel->name].reset(kernel);
        registers.clear();
        labels.clear();
        tables.clear();
        parameters.clear();
        locals.clear();
        branches.clear();
        if (skip("("))
            while (!skip(")")) {
                parameter();
                skip(",");
            }
        while (!skip("{")) { /* .maxntid n, n, n   .minnctapersm n   .reqntid n ... */
            if (skip(".maxntid") || skip(".reqntid")) {
                kernel->max_threads = (unsigned)number();
                while (skip(","))
                    kernel->max_threads *= (unsigned)number();
            } else if (is(";") || peek().kind == Token::END) {
                die("expected the body of a kernel");
            } else {
                at++;
            }
        }
        body();
        kernel = nullptr;
    }

    void function() /* not inlined: an instruction that calls it will say so */
    {
        while (!is(";") && !is("{") && peek().kind != Token::END)
            at++;
        if (take().text == "{")
            skip_block();
    }

    void run()
    {
        bool is_extern = false;
        Space space;

        while (peek().kind != Token::END) {
            std::string t = peek().text;

            if (t == ".version" || t == ".target" || t == ".address_size") {
                skip_line();
            } else if (skip(".file")) {
                int n = (int)number();
                module->files[n] = take().text;
                skip_line_if_more();
            } else if (t == ".section") {
                while (!skip("{"))
                    at++;
                skip_block();
            } else if (t == ".visible" || t == ".weak" || t == ".extern" || t == ".common") {
                is_extern = t == ".extern";
                at++;
                continue;
            } else if (skip(".entry")) {
                entry();
            } else if (skip(".func")) {
                function();
            } else if (space_named(t, &space)) {
                at++;
                declare_variable(space, is_extern);
            } else {
                at++;
            }
            is_extern = false;
        }
    }

    void skip_line_if_more() /* .file 1 "name", time, size */
    {
        while (skip(","))
            number();
    }
};

Module *ptx_parse(const std::string &text)
{
    Parser p;

    p.tokens = lex(text);
    p.module = new Module;
    p.run();
    return p.module;
}

} // namespace sim
