/* lexer.h - PTX text as tokens. */
#ifndef CUDASIM_LEXER_H
#define CUDASIM_LEXER_H

#include <string>
#include <vector>

namespace sim
{

struct Token {
    enum Kind {
        WORD,
        NUMBER,
        STRING,
        MARK,
        END
    } kind; /* MARK: one of { } [ ] ( ) , ; : + - @ ! | < > = */
    std::string text;
    int line; /* of the PTX text: some directives end with it */
};

std::vector<Token> lex(const std::string &text);

} // namespace sim

#endif
