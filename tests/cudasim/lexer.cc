/* lexer.cc - words keep their dots ("ld.global.f32", "%tid.x", ".reg") and double colons
 * ("shared::cta"). */
#include "lexer.h"

#include <cctype>

namespace sim
{

static bool begins_word(char c)
{
    return isalpha((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}
static bool within_word(char c)
{
    return begins_word(c) || isdigit((unsigned char)c);
}

std::vector<Token> lex(const std::string &s)
{
    std::vector<Token> out;
    size_t i = 0, n = s.size();
    int line = 1;

    while (i < n) {
        char c = s[i];
        size_t from = i;

        if (c == '\n') {
            line++;
            i++;
        } else if (isspace((unsigned char)c)) {
            i++;
        } else if (c == '/' && i + 1 < n && s[i + 1] == '/') {
            while (i < n && s[i] != '\n')
                i++;
        } else if (c == '/' && i + 1 < n && s[i + 1] == '*') {
            i = s.find("*/", i);
            i = i == std::string::npos ? n : i + 2;
        } else if (c == '"') {
            for (i++; i < n && s[i] != '"'; i++)
                i += s[i] == '\\';
            out.push_back({ Token::STRING, s.substr(from + 1, i - from - 1), line });
            i++;
        } else if (begins_word(c)) {
            while (i < n && (within_word(s[i]) ||
                             (s.compare(i, 2, "::") == 0 && i + 2 < n && within_word(s[i + 2]))))
                i += s[i] == ':' ? 2 : 1;
            out.push_back({ Token::WORD, s.substr(from, i - from), line });
        } else if (isdigit((unsigned char)c)) {
            while (i < n && isalnum((unsigned char)s[i]))
                i++;
            out.push_back({ Token::NUMBER, s.substr(from, i - from), line });
        } else {
            out.push_back({ Token::MARK, std::string(1, c), line });
            i++;
        }
    }
    out.push_back({ Token::END, "", line });
    return out;
}

} // namespace sim
