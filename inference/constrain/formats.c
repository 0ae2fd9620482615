#include "inference/constrain/formats.h"

#include <stddef.h>
#include <string.h>

/* Days that exist (RFC 3339, section 5.6; leap years by the Gregorian rule), years from 1000 on. */
#define LEAP "(0[48]|[2468][048]|[13579][26])"
#define DATE                                                                                      \
    "([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)" \
    "|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9]" LEAP "|([2468][048]|[13579][26])00)-02-29)"
#define TIME                                                                                       \
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]" \
    ")"

/* RFC 3339, appendix A. */
#define DAYS  "([0-9]{1,4}D|[0-9]{1,4}M([0-9]{1,4}D)?|[0-9]{1,4}Y([0-9]{1,4}M([0-9]{1,4}D)?)?)"
#define HOURS "T([0-9]{1,4}S|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?)"

/* Labels without hyphens at the ends or two in a row, shorter than 63; at most 5, the last not all
 * digits: RFC 1123, section 2.1. */
#define LABEL "[A-Za-z0-9]{1,16}(-[A-Za-z0-9]{1,10}){0,3}"
#define LAST  "[A-Za-z][A-Za-z0-9]{0,15}"
#define HOST  "(" LABEL "\\.){0,3}" LAST

/* RFC 5321's dot-string, at most 64 characters, and a domain of two labels at least. */
#define ATEXT "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
#define EMAIL ATEXT "{1,30}(\\." ATEXT "{1,16}){0,2}@(" LABEL "\\.){1,3}" LAST

#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4  OCTET "(\\." OCTET "){3}"

/* RFC 4291, section 2.2, forms 1 and 2. */
#define H16 "[0-9A-Fa-f]{1,4}"
#define IPV6                                                                                       \
    "((" H16 ":){7}" H16 "|(" H16 ":){6}:" H16 "|(" H16 ":){5}(:" H16 "){1,2}|(" H16 ":){4}(:" H16 \
    "){1,3}|(" H16 ":){3}(:" H16 "){1,4}|(" H16 ":){2}(:" H16 "){1,5}|" H16 ":(:" H16              \
    "){1,6}|:(:" H16 "){1,7}|::)"

/* RFC 3986 with an authority of a host and a port. */
#define PCHAR "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define URI                                                                               \
    "[A-Za-z][A-Za-z0-9+.-]{0,15}://" HOST "(:[1-9][0-9]{0,3})?(/" PCHAR "*)*(\\?(" PCHAR \
    "|[/?])*)?(#(" PCHAR "|[/?])*)?"

#define HEX(n) "[0-9A-Fa-f]{" #n "}"
#define UUID   HEX(8) "-" HEX(4) "-" HEX(4) "-" HEX(4) "-" HEX(12)

/* RFC 6901, section 3. */
#define POINTER "(/([^~/]|~[01])*)*"

/* Expressions that every dialect has: literals, classes without ranges, quantifiers of one sign. */
#define REGEX "\\^?(([A-Za-z0-9_ -]|\\.|\\\\[dDsSwW]|\\[\\^?[A-Za-z0-9]{1,8}\\])[*+?]?){1,20}\\$?"

static const struct format {
    const char *name, *pattern;
} FORMATS[] = {
    { "date", DATE },
    { "time", TIME },
    { "date-time", DATE "T" TIME },
    { "duration", "P([0-9]{1,4}W|" HOURS "|" DAYS "(" HOURS ")?)" },
    { "uuid", UUID },
    { "email", EMAIL },
    { "idn-email", EMAIL },
    { "hostname", HOST },
    { "idn-hostname", HOST },
    { "ipv4", IPV4 },
    { "ipv6", IPV6 },
    { "uri", URI },
    { "iri", URI },
    { "uri-reference", URI },
    { "iri-reference", URI },
    { "uri-template", URI },
    { "json-pointer", POINTER },
    { "relative-json-pointer", "(0|[1-9][0-9]{0,3})(#|" POINTER ")" },
    { "regex", REGEX },
};

static const struct format *find(const char *name)
{
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
        if (strcmp(FORMATS[i].name, name) == 0)
            return &FORMATS[i];
    return NULL;
}

const char *format_pattern(const char *name)
{
    const struct format *f = find(name);

    return f ? f->pattern : NULL;
}
