/* parser.cc - PTX text to kernels: directives, labels, instructions. */
#include "parser.h"

#include <algorithm>

namespace sim
{

struct Parser : Scope {
    int line = 0, file = 0;
    std::map<std::string, int> labels;
    std::map<std::string, std::vector<std::string>> tables; /* .branchtargets */
    std::vector<std::pair<size_t, std::vector<std::string>>> branches;

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
        in = kernel = new Kernel;
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
        in = kernel = nullptr;
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
