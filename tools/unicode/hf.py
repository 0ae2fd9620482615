#!/usr/bin/env python3
"""Writes inference/text/hf/hftables.c: what the package tokenizers takes for lower case, marks, punctuation, control
characters and compatibility decompositions, asked of the package itself (its tables are of several versions of Unicode).
Needs: tokenizers."""
import sys
import unicodedata as u

import tokenizers
from tokenizers import normalizers, pre_tokenizers

CHARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(members):
    out = []
    for c in members:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def lower():
    """Runs of characters that are all as far from their small letters, every `step`-th one."""
    f = normalizers.Lowercase()
    out = []
    for c in CHARS:
        s = f.normalize_str(chr(c))
        if s == chr(c) or c == 0x130:  # which becomes two; hfchars.c
            continue
        assert len(s) == 1
        delta = ord(s) - c
        last = out[-1] if out else None
        if last and last[2] == delta and (last[0] == last[1] and c - last[1] in (1, 2) or last[3] == c - last[1]):
            last[3] = c - last[1]
            last[1] = c
        else:
            out.append([c, c, delta, 1])
    return out


def compat():
    """Full decompositions of those that differ from the canonical one, by the package."""
    nfkd, nfd = normalizers.NFKD(), normalizers.NFD()
    for c in CHARS:
        s = nfkd.normalize_str(chr(c))
        if s != nfd.normalize_str(chr(c)):
            assert s == u.normalize("NFKD", chr(c)), hex(c)
            yield c, s


def words():
    """Letters, digits and the like: beside them, a token that must stand alone is not seen."""
    t = tokenizers.Tokenizer(tokenizers.models.BPE())
    t.add_tokens([tokenizers.AddedToken("ab", single_word=True)])
    return ranges(c for c in CHARS if not t.encode(chr(c) + "ab").ids)


def bert(**what):
    """BertNormalizer with some of its parts only."""
    return normalizers.BertNormalizer(**{"clean_text": False, "handle_chinese_chars": False, "strip_accents": False,
                                         "lowercase": False} | what)


def nonspacing():
    """Marks that BertNormalizer strips: fewer than StripAccents does."""
    strip, nfd = bert(strip_accents=True), normalizers.NFD()
    return ranges(c for c in CHARS if nfd.normalize_str(chr(c)) == chr(c) and strip.normalize_str(chr(c)) == "")


def controls():
    return ranges(c for c in CHARS if bert(clean_text=True).normalize_str(chr(c)) == "")


def punctuation():
    """What BertPreTokenizer makes a word of its own."""
    t = pre_tokenizers.BertPreTokenizer()
    return ranges(c for c in CHARS if len(t.pre_tokenize_str(f"a{chr(c)}b")) == 3)


def table(name, type_, rows, per_line):
    cells = ["{ " + ", ".join(r) + " }," for r in rows]
    print(f"\nconst struct {type_} {name}[] = {{")
    for i in range(0, len(cells), per_line):
        print("    " + " ".join(cells[i:i + per_line]))
    print("};")


def main():
    marks = ranges(c for c in CHARS if normalizers.StripAccents().normalize_str(chr(c)) == "")
    small, wide, word, texts = lower(), list(compat()), words(), []
    more = {"hf_controls": controls(), "hf_nonspacing": nonspacing(), "hf_punctuation": punctuation()}
    print(f"/* hftables.c - written by tools/unicode/hf.py from tokenizers {tokenizers.__version__}: do not edit. */")
    print("/* clang-format off */")
    print('#include "inference/text/hf/hfchars.h"\n#include "inference/text/nfc.h"')
    print(f"\nconst size_t hf_n_lower = {len(small)}, hf_n_marks = {len(marks)}, hf_n_words = {len(word)}, nfc_n_compat = {len(wide)};")
    table("hf_lower", "hf_lower", [(hex(a), hex(b), str(d), str(s)) for a, b, d, s in small], 5)
    table("hf_marks", "hf_range", [(hex(a), hex(b)) for a, b in marks], 8)
    table("hf_words", "hf_range", [(hex(a), hex(b)) for a, b in word], 8)
    print("\nconst size_t " + ", ".join(f"hf_n_{name[3:]} = {len(rows)}" for name, rows in more.items()) + ";")
    for name, rows in more.items():
        table(name, "hf_range", [(hex(a), hex(b)) for a, b in rows], 8)
    rows = []
    for c, s in wide:
        rows.append((hex(c), str(len(texts)), str(len(s))))
        texts += [hex(ord(x)) for x in s]
    table("nfc_compat", "nfc_compat", rows, 6)
    print("\nconst uint32_t nfc_compat_chars[] = {")
    for i in range(0, len(texts), 14):
        print("    " + " ".join(t + "," for t in texts[i:i + 14]))
    print("};")
    return 0


sys.exit(main())
