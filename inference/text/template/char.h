/* char.h - characters as Python's str methods class them.
 *
 * Blanks and printability by range tables; letters, digits and case by glibc's C.UTF-8 locale, or
 * ASCII only where the system has none.  Any thread. */
#ifndef AIRSTRIP_TEMPLATE_CHAR_H
#define AIRSTRIP_TEMPLATE_CHAR_H

#include <stdbool.h>
#include <stdint.h>

bool char_is_space(uint32_t c);     /* str.isspace() */
bool char_is_printable(uint32_t c); /* what repr() shows as it is, nearly */
bool char_is_alpha(uint32_t c);
bool char_is_digit(uint32_t c);     /* decimal digits of any script: str.isdecimal() */
bool char_is_any_digit(uint32_t c); /* also raised, lowered and circled ones: str.isdigit() */
bool char_is_numeric(uint32_t c);   /* also fractions and Chinese numerals: str.isnumeric() */
bool char_is_upper(uint32_t c);
bool char_is_lower(uint32_t c);
uint32_t char_upper(uint32_t c);
uint32_t char_lower(uint32_t c);

#endif
