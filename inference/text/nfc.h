/* nfc.h - Unicode's normalisation forms C, D, KC and KD (UAX 15): the same text, written one way.
 *
 * Any thread. */
#ifndef AIRSTRIP_NFC_H
#define AIRSTRIP_NFC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buf.h"

struct nfc_form {
    bool compose; /* C or KC, else D or KD */
    bool compat;  /* KC or KD: characters that only look another way become the plain ones */
};

/* Can text be taken as it is?  True of most: no character from U+0300 (KC, KD: U+00A0) on, or none
 * that could change. Bytes that are not UTF-8 count as unchangeable. */
bool nfc_is_plain(const char *text, size_t len, struct nfc_form form);

/* Appends text in that form.  text is UTF-8 but for bytes that stay as they are.
 * marks: NULL, or one byte for each of text's; then *out_marks gets one for each of out's: that of
 * a character it came from, nonzero where any of several was.  Out of memory: out->failed. */
void nfc_put(struct buf *out, struct buf *out_marks, const char *text, size_t len,
             const char *marks, struct nfc_form form);

/* Data, sorted; nfc_tables.c, and for compatibility hf/hftables.c. */
struct nfc_split {
    uint32_t cp, first, second; /* second 0: another character for the same */
};
struct nfc_join {
    uint32_t first, second, cp;
};
struct nfc_class {
    uint32_t first, last;
    uint8_t ccc; /* Canonical_Combining_Class; others have 0 */
};
struct nfc_compat {
    uint32_t cp;
    uint16_t start, n; /* nfc_compat_chars[start ..]: fully decomposed */
};
extern const struct nfc_compat nfc_compat[];
extern const uint32_t nfc_compat_chars[];
extern const size_t nfc_n_compat;
extern const struct nfc_split nfc_splits[];
extern const struct nfc_join nfc_joins[];
extern const struct nfc_class nfc_classes[];
extern const uint32_t nfc_late[]; /* seconds of a pair that are of class 0 themselves */
extern const size_t nfc_n_splits, nfc_n_joins, nfc_n_classes, nfc_n_late;

#endif
