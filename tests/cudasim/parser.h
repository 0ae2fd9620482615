/* parser.h - how the parser reads: a cursor over tokens, and what names mean within a kernel.
 *
 * Only for parser.cc and the two files of these names.  What cannot be understood ends the process
 * with the line. */
#ifndef CUDASIM_PARSER_H
#define CUDASIM_PARSER_H

#include "lexer.h"
#include "ptx.h"

#include <set>

namespace sim
{

/* cursor.cc: where in the text we are. */
struct Cursor {
    std::vector<Token> tokens;
    size_t at = 0;
    const Kernel *in = nullptr; /* for complaints */

    [[noreturn]] void die(const std::string &what);
    const Token &peek(size_t ahead = 0);
    bool is(const char *text);
    Token take();
    bool skip(const char *text);
    void expect(const char *text);
    std::string word();
    void skip_line();  /* directives without a semicolon */
    void skip_block(); /* behind its '{' */
    u64 number();
    bool at_number();
};

/* scope.cc: registers, variables and parameters by name, as operands. */
struct Scope : Cursor {
    Module *module = nullptr;
    Kernel *kernel = nullptr;
    std::map<std::string, std::pair<Type, u32>> registers;
    std::map<std::string, size_t> parameters; /* offset by name */
    std::map<std::string, size_t> locals;
    std::map<std::string, Variable> module_shared;
    std::set<std::string> dynamic; /* names of extern shared memory: all are the same place */

    u32 new_slot(Type t);
    Operand in_register(Type t, u32 slot);
    static int special_named(const std::string &name);
    Operand symbol(const std::string &name, i64 plus);
    Operand address();
    Operand operand();
    std::vector<Operand> argument();
    void declare_registers();
    void add_shared(const std::string &name, size_t bytes, size_t align);
    void initialise(char *p, size_t element, size_t bytes);
    void declare_variable(Space space, bool is_extern);
    static bool space_named(const std::string &directive, Space *out);
};

inline size_t align_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

} // namespace sim

#endif
