/* hfbert - the pre-tokenizer of BERT's tokenization.py. */
#include "inference/text/hf/hfchars.h"
#include "kernels/base/utf8.h"

enum kind { LETTER, BLANK, PUNCTUATION };

static enum kind kind_of(uint32_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return LETTER;
    return hf_is_blank(c) ? BLANK : hf_is_punctuation(c) ? PUNCTUATION : LETTER;
}

int hfbert_words(const char *s, size_t len,
                 int (*word)(void *arg, size_t start, size_t end, struct err *e), void *arg,
                 struct err *e)
{
    size_t start = 0;
    int rc = 0;

    for (size_t i = 0, n; i < len && !rc; i += n) {
        enum kind kind;
        uint32_t c;

        n = utf8_decode(s + i, len - i, &c);
        kind = n ? kind_of(c) : LETTER;
        n = n ? n : 1;
        if (kind == LETTER)
            continue;
        if (i > start)
            rc = word(arg, start, i, e);
        if (!rc && kind == PUNCTUATION)
            rc = word(arg, i, i + n, e);
        start = i + n;
    }
    return !rc && len > start ? word(arg, start, len, e) : rc;
}
