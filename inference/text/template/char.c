#include "inference/text/template/char.h"

#include <locale.h>
#include <pthread.h>
#include <stddef.h>
#include <wctype.h>

static locale_t utf8_locale; /* made once, kept until the process ends */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_locale(void)
{
    utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!utf8_locale)
        utf8_locale = newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
}

static locale_t locale(void)
{
    pthread_once(&once, make_locale);
    return utf8_locale;
}

/* Unicode White_Space plus the four separators U+001C..1F, as Python has it. */
bool char_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Controls, format characters, separators, surrogates and private use are escaped by repr(). */
bool char_is_printable(uint32_t c)
{
    static const uint32_t hidden[][2] = {
        { 0, 0x1f },           { 0x7f, 0xa0 },       { 0xad, 0xad },       { 0x600, 0x605 },
        { 0x61c, 0x61c },      { 0x6dd, 0x6dd },     { 0x70f, 0x70f },     { 0x1680, 0x1680 },
        { 0x180e, 0x180e },    { 0x2000, 0x200f },   { 0x2028, 0x202f },   { 0x205f, 0x206f },
        { 0x3000, 0x3000 },    { 0xd800, 0xf8ff },   { 0xfeff, 0xfeff },   { 0xfff0, 0xfffb },
        { 0xfffe, 0xffff },    { 0x110bd, 0x110bd }, { 0x1d173, 0x1d17a }, { 0xe0000, 0xe00ff },
        { 0xe01f0, 0x10ffff },
    };

    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        if (c < hidden[i][0])
            return true;
        if (c <= hidden[i][1])
            return false;
    }
    return true;
}

bool char_is_alpha(uint32_t c)
{
    return iswalpha_l((wint_t)c, locale()) && !char_is_digit(c);
}

/* glibc counts only ASCII digits as such and the others as letters; blocks of Nd that occur in
 * text. */
bool char_is_digit(uint32_t c)
{
    static const uint32_t zero[] = { '0',   0x660, 0x6f0,  0x7c0,  0x966,  0x9e6,  0xa66,
                                     0xae6, 0xb66, 0xbe6,  0xc66,  0xce6,  0xd66,  0xe50,
                                     0xed0, 0xf20, 0x1040, 0x17e0, 0x1810, 0xff10, 0x1d7ce };

    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) {
        if (c >= zero[i] && c < zero[i] + (zero[i] == 0x1d7ce ? 50 : 10))
            return true;
    }
    return false;
}

bool char_is_any_digit(uint32_t c)
{
    return char_is_digit(c) || c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 ||
           (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) ||
           (c >= 0x2460 && c <= 0x2468) || (c >= 0x2474 && c <= 0x247c) ||
           (c >= 0x2488 && c <= 0x2490) || c == 0x24ea || (c >= 0x24f5 && c <= 0x24fd) ||
           c == 0x24ff || (c >= 0x2776 && c <= 0x277e) || (c >= 0x2780 && c <= 0x2788) ||
           (c >= 0x278a && c <= 0x2792);
}

bool char_is_numeric(uint32_t c)
{
    static const uint32_t chinese[] = { 0x3007, 0x4e00, 0x4e03, 0x4e07, 0x4e09, 0x4e5d,
                                        0x4e8c, 0x4e94, 0x5104, 0x516b, 0x516d, 0x5341,
                                        0x5343, 0x56db, 0x767e, 0x842c };

    for (size_t i = 0; i < sizeof chinese / sizeof *chinese; i++) {
        if (c == chinese[i])
            return true;
    }
    return char_is_any_digit(c) || (c >= 0xbc && c <= 0xbe) || (c >= 0x2150 && c <= 0x2189) ||
           (c >= 0x2460 && c <= 0x249b) || (c >= 0x24ea && c <= 0x24ff) ||
           (c >= 0x2776 && c <= 0x2793) || (c >= 0x3021 && c <= 0x3029);
}

bool char_is_upper(uint32_t c)
{
    return iswupper_l((wint_t)c, locale());
}

bool char_is_lower(uint32_t c)
{
    return iswlower_l((wint_t)c, locale());
}

uint32_t char_upper(uint32_t c)
{
    if (c < 0x80)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    return (uint32_t)towupper_l((wint_t)c, locale());
}

uint32_t char_lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return (uint32_t)towlower_l((wint_t)c, locale());
}
