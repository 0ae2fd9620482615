/* cursor.cc - tokens one after the other: words, numbers, and what must come next. */
#include "parser.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sim
{

void Cursor::die(const std::string &what)
{
    fprintf(stderr, "cudasim: line %d of the PTX, kernel %s: %s\n", peek().line,
            in ? in->name.c_str() : "-", what.c_str());
    abort();
}

const Token &Cursor::peek(size_t ahead)
{
    return tokens[std::min(at + ahead, tokens.size() - 1)];
}

bool Cursor::is(const char *text)
{
    return peek().text == text && peek().kind != Token::STRING;
}

Token Cursor::take()
{
    return tokens[at < tokens.size() - 1 ? at++ : at];
}

bool Cursor::skip(const char *text)
{
    if (!is(text))
        return false;
    at++;
    return true;
}

void Cursor::expect(const char *text)
{
    if (!skip(text))
        die(std::string("expected '") + text + "', found '" + peek().text + "'");
}

std::string Cursor::word()
{
    if (peek().kind != Token::WORD)
        die("expected a name, found '" + peek().text + "'");
    return take().text;
}

/* directives without a semicolon */
void Cursor::skip_line()
{
    int here = peek().line;

    while (peek().kind != Token::END && peek().line == here)
        at++;
}

/* behind its '{' */
void Cursor::skip_block()
{
    for (int depth = 1; depth && peek().kind != Token::END; at++)
        depth += is("{") ? 1 : is("}") ? -1 : 0;
}

/* Bits of a number: decimal, 0x, 0f and 0d (IEEE bits in hexadecimal), with a sign. */
u64 Cursor::number()
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

bool Cursor::at_number()
{
    return peek().kind == Token::NUMBER || (is("-") && peek(1).kind == Token::NUMBER);
}

} // namespace sim
