#!/usr/bin/env python3
"""Writes inference/text/nfc_tables.c: canonical decompositions and combining classes of Python's Unicode database."""
import sys
import unicodedata as u

LAST = 0x110000
HANGUL = range(0xAC00, 0xD7A4)  # by arithmetic


def decompositions():
    for cp in range(LAST):
        d = u.decomposition(chr(cp))
        if d and not d.startswith("<") and cp not in HANGUL:
            parts = [int(x, 16) for x in d.split()]
            # a pair composes unless it is excluded: then NFC leaves it apart
            composes = len(parts) == 2 and u.normalize("NFC", chr(cp)) == chr(cp)
            yield cp, parts[0], parts[1] if len(parts) == 2 else 0, composes


def classes():
    start, last = None, 0
    for cp in range(LAST + 1):
        c = u.combining(chr(cp)) if cp < LAST else 0
        if c != last:
            if last:
                yield start, cp - 1, last
            start, last = cp, c


def table(name, type_, rows, per_line):
    cells = ["{ " + ", ".join(r) + " }," for r in rows]
    print(f"\nconst struct {type_} {name}[] = {{")
    for i in range(0, len(cells), per_line):
        print("    " + " ".join(cells[i:i + per_line]))
    print("};")


def main():
    rows = list(decompositions())
    pairs = sorted((a, b, cp) for cp, a, b, composes in rows if composes)
    ccc = list(classes())
    late = sorted({b for _, b, _ in pairs if u.combining(chr(b)) == 0})
    print(f"/* nfc_tables.c - written by tools/unicode/nfc.py from Unicode {u.unidata_version}: do not edit. */")
    print("/* clang-format off */")
    print('#include "inference/text/nfc.h"')
    print(f"\nconst size_t nfc_n_splits = {len(rows)}, nfc_n_joins = {len(pairs)}, nfc_n_classes = {len(ccc)};")
    print(f"const size_t nfc_n_late = {len(late)};")
    print("const uint32_t nfc_late[] = { " + ", ".join(map(hex, late)) + " };")
    table("nfc_splits", "nfc_split", [(hex(cp), hex(a), hex(b)) for cp, a, b, _ in rows], 5)
    table("nfc_joins", "nfc_join", [(hex(a), hex(b), hex(c)) for a, b, c in pairs], 5)
    table("nfc_classes", "nfc_class", [(hex(a), hex(b), str(c)) for a, b, c in ccc], 5)
    return 0


sys.exit(main())
