"""Texts that are hard on tokenizers: scripts, emoji with joiners, digits, runs of blanks, code, any bytes."""
SCRIPTS = [(0x20, 0x7e), (0x20, 0x7e), (0x61, 0x7a), (0xa0, 0x17f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x6ff),
           (0x900, 0x97f), (0xe00, 0xe7f), (0x1100, 0x11ff), (0x1e00, 0x1fff), (0x2000, 0x206f), (0x3040, 0x30ff),
           (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xf900, 0xfaff), (0xff00, 0xffef), (0x1f300, 0x1f64f), (0x1f900, 0x1f9ff)]
PARTS = ["  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "'s", "'LL", "’t", "123", "1234567", "0.5", "don't", "I'VE", "the ", " and",
         "for (int i = 0; i < n; i++) {\n    x[i] += 1;\n}\n", "http://a.b/c?d=e&f", "👨‍👩‍👧", "🇩🇪", "é", "e\u0301", "Å", "가각", "\u1100\u1161\u11a8",
         "\u00a0", "\u3000", "\u200b", "\u2028", "\u180e", "<", "<|", "|>", "</s>", "<s>", "<unk>", "<0x0A>", "▁", "▁▁", "_", "--", "...", "ſ", "ß", "İ", "½", "²"]


def some_text(rng, specials):
    out = []
    for _ in range(rng.randrange(1, 40)):
        kind = rng.random()
        if kind < 0.35:
            out.append(rng.choice(PARTS))
        elif kind < 0.4 and specials:
            out.append(rng.choice(specials))
        elif kind < 0.43:
            out.append(rng.randbytes(rng.randrange(1, 20)).decode(rng.choice(["latin-1", "utf-8"]), errors="replace"))
        elif kind < 0.5:
            out.append(rng.choice("ab \n\t1.").join([""] * rng.randrange(2, 40)))
        else:
            low, high = rng.choice(SCRIPTS)
            out.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randrange(1, 12))))
    return "".join(out)
