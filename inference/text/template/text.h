/* text.h - strings that know which of their bytes a client wrote.
 *
 * A string is trusted (the template's own text), untrusted (a client's), or has a sorted list of
 * untrusted ranges.  Pieces and concatenations keep exact ranges; a function that turns text into
 * other text gives a wholly untrusted result as soon as any byte of it came from an untrusted one.
 */
#ifndef AIRSTRIP_TEMPLATE_TEXT_H
#define AIRSTRIP_TEMPLATE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inference/text/tokenizer.h"
#include "kernels/base/err.h"

struct render;
struct tval;

/* Passes a failure up. */
#define TRY(call)             \
    do {                      \
        int try_rc_ = (call); \
        if (try_rc_)          \
            return try_rc_;   \
    } while (0)

struct tstr {
    const char *data; /* not NUL-terminated */
    size_t len;
    bool untrusted;                /* all of it; else: */
    const struct text_span *spans; /* sorted, disjoint, not empty */
    size_t n_spans;
    bool markup; /* what | safe and | e give: text joined to it by + or % is escaped for HTML */
};

static inline bool tstr_tainted(const struct tstr *s)
{
    return s->untrusted || s->n_spans;
}

bool tstr_equal(const struct tstr *s, const char *data, size_t len);
bool tstr_is(const struct tstr *s, const char *text); /* text: a C string */

/* Characters (code points; a byte that is not UTF-8 counts as one). */
size_t tstr_chars(const struct tstr *s);

/* Byte offset of character n, len where there are fewer. */
size_t tstr_offset(const struct tstr *s, size_t n);

/* Length in bytes of the character at byte `at` (< len), its code point in *cp. */
size_t tstr_char_at(const struct tstr *s, size_t at, uint32_t *cp);

/* A string of its own around borrowed bytes, or around a copy. */
int tstr_borrow(struct render *r, const char *data, size_t len, bool untrusted,
                struct tval *out) MUST_CHECK;
int tstr_copy(struct render *r, const char *data, size_t len, bool untrusted,
              struct tval *out) MUST_CHECK;

/* Bytes [start, end) of s, without copying them. */
int tstr_slice(struct render *r, const struct tstr *s, size_t start, size_t end,
               struct tval *out) MUST_CHECK;

/* The same, without being markup: what walking through a string gives. */
int tstr_plain(struct render *r, const struct tstr *s, size_t start, size_t end,
               struct tval *out) MUST_CHECK;

/* First byte offset >= from where what occurs, SIZE_MAX if nowhere. */
size_t tstr_find(const struct tstr *s, const char *what, size_t len, size_t from);

/* A string being put together.  A zeroed one is empty; failure sticks until tbuf_done(). */
struct tbuf {
    char *data;
    size_t len, cap;
    struct text_span *spans;
    size_t n_spans, cap_spans;
    bool failed;
    bool markup; /* for the string that it becomes */
};

void tbuf_put(struct render *r, struct tbuf *b, const char *data, size_t len, bool untrusted);
void tbuf_puts(struct render *r, struct tbuf *b, const char *s); /* trusted */
void tbuf_str(struct render *r, struct tbuf *b, const struct tstr *s);
void tbuf_char(struct render *r, struct tbuf *b, uint32_t cp, bool untrusted);

/* The string with its exact ranges; the tbuf is used up. */
int tbuf_done(struct render *r, struct tbuf *b, struct tval *out) MUST_CHECK;

/* s with & < > " ' written as HTML wants them, as markup; markup stays as it is. */
int tstr_escape(struct render *r, const struct tstr *s, struct tval *out) MUST_CHECK;

/* The string, wholly untrusted if any byte of it is, or if tainted says so. */
int tbuf_derived(struct render *r, struct tbuf *b, bool tainted, struct tval *out) MUST_CHECK;

#endif
