"""Every component of tokenizer.json that is supported, in files made here by the package tokenizers: ids like the
package's of generated text.  AIRSTRIP_TOKENIZER_CHARS: how much text for each, 30000 without it."""
import json
import os
import pathlib
import random
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
sys.path.insert(0, str(here))
import tap  # noqa: E402
from probe import lines  # noqa: E402
from texts import some_text  # noqa: E402

try:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
except ImportError as error:
    tap.skip("components of tokenizer.json", str(error))
    tap.done()
    sys.exit()

N = normalizers
P = pre_tokenizers
SPECIALS = ["<unk>", "</s>", "<pad>"]
CHARS = int(os.environ.get("AIRSTRIP_TOKENIZER_CHARS", 30000))


def corpus(rng, n=600):
    """To train on: few characters, so that texts have unknown ones."""
    return ["".join(c for c in some_text(rng, []) if ord(c) < 0x180 or 0x400 <= ord(c) < 0x440) for _ in range(n)]


def build(model, texts, normalizer=None, pre=None, post=None, added=(), byte_level=False, size=600):
    if model == "bpe":
        t = Tokenizer(models.BPE(unk_token="<unk>"))
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIALS, show_progress=False,
                                      initial_alphabet=P.ByteLevel.alphabet() if byte_level else [])
    elif model == "wordpiece":
        t = Tokenizer(models.WordPiece(unk_token="<unk>", max_input_chars_per_word=30))
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIALS, show_progress=False)
    else:
        t = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=SPECIALS, unk_token="<unk>", show_progress=False)
    if normalizer is not None:
        t.normalizer = normalizer
    if pre is not None:
        t.pre_tokenizer = pre
    t.train_from_iterator(texts, trainer)
    t.decoder = decoders.ByteLevel() if byte_level else decoders.WordPiece() if model == "wordpiece" else decoders.Metaspace()
    if post is not None:
        t.post_processor = post
    for token in added:
        t.add_tokens([token])
    return t


def with_fallback(t):
    """The same with tokens for bytes, which no trainer makes."""
    j = json.loads(t.to_str())
    j["model"]["byte_fallback"] = True
    j["model"]["vocab"] += [[f"<0x{b:02X}>", 0.0] for b in range(256)]
    return Tokenizer.from_str(json.dumps(j))


def dressed(t, scratch, name):
    """A folder with this tokenizer and the weights of a family that is supported."""
    out = pathlib.Path(scratch) / name.replace(" ", "-").replace("/", "-")
    out.mkdir()
    for f in ["config.json", "model.safetensors"]:
        (out / f).symlink_to((here.parent / "data" / "models" / "qwen2_window" / f).resolve())
    t.save(str(out / "tokenizer.json"))
    return out


def compare(name, t, scratch, rng, specials=(), add_special=False):
    folder = dressed(t, scratch, name)
    texts = ["", " ", "a", "\r\n", " a ", "<unk>"]
    while sum(map(len, texts)) < CHARS:
        texts.append(some_text(rng, [*specials, "<unk>", "</s>"]))
    expected = [e.ids for e in t.encode_batch(texts, add_special_tokens=add_special)]
    found = [a.get("ids", a) for a in lines("tokenize", folder, [{"text": x, "special": True, "add_special": add_special} for x in texts])]
    wrong = [f"{x!r}: {f}, expected {e}" for x, f, e in zip(texts, found, expected) if f != e]
    tap.ok(not wrong and len(found) == len(texts), f"{name}: {len(texts)} texts", len(wrong), *wrong[:3])


def sentencepiece_model(rng, scratch):
    """A Unigram model by SentencePiece itself, with its usual normalisation (nmt_nfkc); None where it is not installed."""
    try:
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as error:
        tap.skip("SentencePiece's normalisation", str(error))
        return None, None
    text, prefix = pathlib.Path(scratch) / "corpus.txt", pathlib.Path(scratch) / "t5"
    text.write_text("\n".join(t.replace("\n", " ") for t in corpus(rng, 1500)))
    sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=str(prefix), model_type="unigram", vocab_size=900, pad_id=0,
                                             eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, character_coverage=0.99,
                                             max_sentence_length=100000, minloglevel=2)
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(pathlib.Path(f"{prefix}.model").read_bytes())
    return sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model"), model


def gguf_unigram(judge, model, scratch, rng):
    """The same model as a GGUF file; what is a special token there is text for SentencePiece, and left out."""
    import gguf
    path = pathlib.Path(scratch) / "t5.gguf"
    w = gguf.GGUFWriter(path, "t5")
    w.add_tokenizer_model("t5")
    w.add_tokenizer_pre("default")
    w.add_token_list([p.piece.encode() for p in model.pieces])
    w.add_token_scores([p.score for p in model.pieces])
    w.add_token_types([p.type for p in model.pieces])
    w.add_add_space_prefix(model.normalizer_spec.add_dummy_prefix)
    w.add_remove_extra_whitespaces(model.normalizer_spec.remove_extra_whitespaces)
    w.add_precompiled_charsmap(model.normalizer_spec.precompiled_charsmap)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    texts = ["", " ", "a", " a  b ", "\u00a0", "\ufb01 \u2460"]
    while sum(map(len, texts)) < CHARS:
        texts.append(some_text(rng, []).replace("\0", ""))  # which ends SentencePiece's look-ups

    def same(found, expected):
        """SentencePiece adds up scores as float32: of ways whose sums are as good as equal it may take another."""
        both = [[("".join(model.pieces[i].piece for i in ids)), sum(model.pieces[i].score for i in ids)] for ids in (found, expected)]
        return found == expected or (both[0][0] == both[1][0] and abs(both[0][1] - both[1][1]) < 1e-3)

    for add in [False, True]:
        found = [a.get("ids", a) for a in lines("tokenize", path, [{"text": x, "add_special": add} for x in texts])]
        wrong = [f"{t!r}: {f}, expected {e}" for t, f, e in zip(texts, found, judge.encode(texts)) if not same(f, e + [1] * add)]
        tap.ok(not wrong, f"t5 from a GGUF file, add_special {add}: {len(texts)} texts like SentencePiece", len(wrong), *wrong[:3])


# How tokenizer.ggml.pre splits text, as llama.cpp spells the expressions, and whether words that are tokens are taken whole.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
ENDING = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = ENDING + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+%s|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*%s|"
         r"\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n/]*|") + TAIL
PRE = {
    "gpt-2": ([GPT2], False), "phi-2": ([GPT2], False), "olmo": ([GPT2], False),
    "smollm": ([r"\p{N}", GPT2], False), "starcoder": ([r"\p{N}", GPT2], False), "refact": ([r"\p{N}", GPT2], False),
    "falcon": ([r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"], False),
    "default": ([r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"], False),
    "llama-bpe": ([CL100K % "{1,3}"], True), "falcon3": ([CL100K % "{1,3}"], True), "lfm2": ([CL100K % "{1,3}"], True),
    "dbrx": ([CL100K % "{1,3}"], False), "smaug-bpe": ([CL100K % "{1,3}"], False), "glm4": ([CL100K % "{1,3}"], False),
    "qwen2": ([CL100K % ""], False), "stablelm2": ([CL100K % ""], False), "deepseek-r1-qwen": ([CL100K % ""], False),
    "gpt-4o": ([O200K % (f"{ENDING}?", f"{ENDING}?", "{1,3}")], False), "tekken": ([O200K % ("", "", "")], True),
}


def gguf_pre(name, scratch, rng):
    import gguf
    expressions, whole = PRE[name]
    steps = [P.Split(Regex(e), "isolated") for e in expressions]
    t = build("bpe", corpus(rng), None, P.Sequence([*steps, P.ByteLevel(add_prefix_space=False, use_regex=False)]), byte_level=True, size=900)
    model = json.loads(t.to_str())["model"]
    if whole:  # tokens that no merge makes
        extra = sorted({w for x in corpus(rng, 200) for w, _ in t.pre_tokenizer.pre_tokenize_str(x) if len(w) > 3} - set(model["vocab"]))[:200]
        model["vocab"].update({w: len(model["vocab"]) + i for i, w in enumerate(extra)})
    t.model = models.BPE(model["vocab"], [tuple(m) for m in model["merges"]], ignore_merges=whole)
    path = pathlib.Path(scratch) / f"{name}.gguf"
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(name)
    w.add_token_list(sorted(model["vocab"], key=model["vocab"].get))
    w.add_token_types([3 if i < len(SPECIALS) else 1 for i in range(len(model["vocab"]))])
    w.add_token_merges([" ".join(m) for m in model["merges"]])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    texts = ["", " ", "a"]
    while sum(map(len, texts)) < CHARS:
        texts.append(some_text(rng, []))
    found = [a.get("ids", a) for a in lines("tokenize", path, [{"text": x} for x in texts])]
    special = {model["vocab"][s] for s in SPECIALS}
    wrong = [f"{x!r}: {f}, expected {e.ids}" for x, f, e in zip(texts, found, t.encode_batch(texts)) if f != e.ids and not special & set(e.ids)]
    tap.ok(not wrong, f"tokenizer.ggml.pre {name}: {len(texts)} texts", len(wrong), *wrong[:3])


def cases(rng, charsmap):
    texts = corpus(rng)
    meta = P.Metaspace()
    level = P.ByteLevel(add_prefix_space=False)
    for name, n in [("NFC", N.NFC()), ("NFD", N.NFD()), ("NFKC", N.NFKC()), ("NFKD", N.NFKD()), ("Lowercase", N.Lowercase()),
                    ("Nmt", N.Nmt()), ("Strip", N.Strip()), ("Strip left", N.Strip(True, False)), ("Strip right", N.Strip(False, True)),
                    ("Strip neither", N.Strip(False, False)),
                    ("accents", N.Sequence([N.NFKD(), N.StripAccents(), N.Lowercase()])),
                    ("Prepend", N.Sequence([N.Prepend("_"), N.Replace(" ", "_")])),
                    ("Replace", N.Sequence([N.Replace(Regex(" {2,}"), " "), N.Replace("a", "bb")])),
                    ("ByteLevel", N.ByteLevel())]:
        yield f"normalizer {name}", build("bpe", texts, n, level if name != "ByteLevel" else None, byte_level=True), ()
    for scheme in ["always", "first", "never"]:
        for split in [True, False]:
            p = P.Metaspace(prepend_scheme=scheme, split=split)
            a = [AddedToken("<x>"), AddedToken("<y>", lstrip=True, normalized=False), AddedToken("<z>", rstrip=True)]
            yield f"Metaspace {scheme} {split}", build("unigram", texts, N.NFC(), p, added=a), ["<x>", " <y>", "<z>  "]
    for name, p in [("Digits", P.Digits()), ("Digits one by one", P.Digits(True)), ("Punctuation", P.Punctuation()),
                    ("Punctuation contiguous", P.Punctuation("contiguous")), ("Whitespace", P.Whitespace()),
                    ("WhitespaceSplit", P.WhitespaceSplit()), ("ByteLevel first", P.ByteLevel(add_prefix_space=True)),
                    ("ByteLevel no regex", P.ByteLevel(False, use_regex=False)),
                    *[(f"Split {b} {i}", P.Split(Regex(r"\p{N}+|[a-c]"), b, invert=i)) for b in
                      ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"] for i in [False, True]]]:
        steps = [p] if name.startswith("ByteLevel") else [p, P.ByteLevel(add_prefix_space=False, use_regex=False)]
        yield f"pre_tokenizer {name}", build("bpe", texts, None, P.Sequence(steps), byte_level=True), ()
    added = [AddedToken("ab", single_word=True), AddedToken("Kelvin", normalized=True), AddedToken("É", normalized=True),
             AddedToken("one two", lstrip=True, rstrip=True), AddedToken("<tool>", special=True, single_word=True, lstrip=True)]
    n = N.Sequence([N.NFKD(), N.StripAccents(), N.Lowercase()])
    yield "added tokens", build("bpe", texts, n, level, added=added, byte_level=True), \
        ["ab", "xab", "ab ", "kelvin", "\u212aelvin", "é", "e\u0301", "E", " one two ", "one two", "<tool>", " <tool>", "a<tool>b"]
    for name, n in [("as it is", N.BertNormalizer()), ("cased", N.BertNormalizer(lowercase=False)),
                    ("accents kept", N.BertNormalizer(strip_accents=False)),
                    ("not cleaned", N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False))]:
        yield f"WordPiece, BertNormalizer {name}", build("wordpiece", [x.replace("\0", "") for x in texts], n, P.BertPreTokenizer()), ["<unk>", "q" * 31, "x" * 30]
    yield "WordPiece, other words", build("wordpiece", [x.replace("\0", "") for x in texts], N.NFKC(), P.Whitespace()), ()
    yield "BertPreTokenizer before ByteLevel", \
        build("bpe", texts, None, P.Sequence([P.BertPreTokenizer(), P.ByteLevel(False, use_regex=False)]), byte_level=True), ()
    signs = ["\u061d", "\u166d", "e\u0301", "²", "Ⅷ", "\u3001漢", "0af", "aB\u0301C"]
    for rx in [r"\w+", r"\W", r"\b", r"\B", r"(?=\p{Lu})", r"x*", r"(?<=\d)(?=\d)|[a-c]", r"\p{Han}+|\p{Hiragana}", r"[[:punct:]]",
               r"\h+", r"[\w.]+", r"[^]x]+"]:
        for b in ["removed", "merged_with_next", "contiguous"]:
            p = P.Sequence([P.Split(Regex(rx), b), P.ByteLevel(add_prefix_space=False, use_regex=False)])
            yield f"Split {rx} {b}", build("bpe", texts, None, p, byte_level=True), signs
    yield "Punctuation of its Unicode", build("bpe", texts, None, P.Sequence([P.Punctuation(), level]), byte_level=True), signs
    # looked for in two passes, also where nothing is normalised: what the first one takes ends words for the second
    added = [AddedToken("a", normalized=False), AddedToken("ab", normalized=True), AddedToken("<w>", normalized=True, single_word=True)]
    yield "added tokens without normalizer", build("bpe", texts, None, level, added=added, byte_level=True), ["ab", "<w>a", "<w>b", "b<w>a"]
    yield "Unigram", build("unigram", texts, None, meta), ()
    yield "Unigram, added tokens", build("unigram", texts, None, meta, added=[AddedToken("one two", single_word=True), AddedToken("qx", single_word=True)]), \
        ["qx", "qxé", " qx ", "one two", "one twos"]
    yield "Unigram without pre_tokenizer", build("unigram", texts, N.Replace(" ", "▁")), ()
    whole = json.loads(build("bpe", [x.replace("<0x0A>", "").replace("\0", "") for x in texts], None, P.WhitespaceSplit()).to_str())
    whole["model"] |= {"byte_fallback": True, "ignore_merges": True}
    whole["model"]["vocab"] |= {f"<0x{b:02X}>": len(whole["model"]["vocab"]) + b for b in range(256)}
    yield "BPE byte fallback, words taken whole", Tokenizer.from_str(json.dumps(whole)), ["<0x0A>", " <0x0A> ", "中"]
    yield "Unigram byte fallback", with_fallback(build("unigram", ["".join(c for c in x if c < "\x7f") for x in texts], None, meta, size=300)), ["<0x41>", "中", "🦙"]
    if charsmap:
        yield "Precompiled", build("unigram", texts, N.Sequence([N.Precompiled(charsmap), N.Replace(Regex(" {2,}"), " ")]), meta), ()
        yield "t5", build("unigram", texts, N.Precompiled(charsmap), P.Sequence([P.WhitespaceSplit(), meta])), ()


def gguf_wordpiece(t, name, scratch, rng, chars):
    """The vocabulary as llama.cpp's converter writes it, U+2581 before words in place of ## before the rest; no key says whether
    letters become small ones."""
    import gguf
    j = json.loads(t.to_str())
    vocab, special = j["model"]["vocab"], {a["content"] for a in j["added_tokens"]}
    path = pathlib.Path(scratch) / f"{name}.gguf"
    w = gguf.GGUFWriter(path, "bert")
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list([k if k in special else k[2:] if k.startswith("##") else "\u2581" + k for k in sorted(vocab, key=vocab.get)])
    w.add_token_types([3 if k in special else 1 for k in sorted(vocab, key=vocab.get)])
    first, last, unknown = (vocab[k] for k in (["[CLS]", "[SEP]", "[UNK]"] if "[CLS]" in vocab else ["<pad>", "</s>", "<unk>"]))
    w.add_key_value("tokenizer.ggml.cls_token_id", first, gguf.GGUFValueType.UINT32)
    w.add_sep_token_id(last)
    w.add_unk_token_id(unknown)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    texts = ["", " ", "a", "\u00c9t\u00e9 e\u0301"]
    while sum(map(len, texts)) < chars:
        texts.append(some_text(rng, []))
    found = [a.get("ids", a) for a in lines("tokenize", path, [{"text": x, "add_special": True} for x in texts])]
    expected = [[first, *e.ids, last] for e in t.encode_batch(texts, add_special_tokens=False)]
    wrong = [f"{x!r}: {f}, expected {e}" for x, f, e in zip(texts, found, expected) if f != e and not any(s in x for s in special)]
    tap.ok(not wrong and len(found) == len(texts), f"bert from a GGUF file, {name}: {len(texts)} texts", len(wrong), *wrong[:3])


def wordpieces(rng, scratch):
    """GGUF files of made vocabularies, and the real one: of the folder's own file a megabyte of text."""
    for name, lower in [("cased", False), ("small letters", True)]:
        t = build("wordpiece", corpus(rng), N.BertNormalizer(lowercase=lower), P.BertPreTokenizer(), size=900)
        t.model = models.WordPiece(t.get_vocab(), unk_token="<unk>")  # of words of up to 100, as all such files
        tap.attempt(gguf_wordpiece, t, name, scratch, rng, CHARS)
    folder = os.environ.get("AIRSTRIP_MINILM")
    if not folder:
        return tap.skip("MiniLM's vocabulary", "AIRSTRIP_MINILM does not name its folder")
    t = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
    t.no_truncation()
    t.no_padding()
    tap.attempt(gguf_wordpiece, t, "MiniLM", scratch, rng, CHARS)
    texts = [""]
    while sum(len(x.encode()) for x in texts) < 1_000_000:
        texts += [some_text(rng, ["[CLS]", "[SEP] ", "[MASK]", "[UNK]"]) for _ in range(100)]
    for add in [False, True]:
        found = [a.get("ids", a) for a in lines("tokenize", folder, [{"text": x, "special": True, "add_special": add} for x in texts])]
        wrong = [f"{x!r}: {f}, expected {e.ids}" for x, f, e in zip(texts, found, t.encode_batch(texts, add_special_tokens=add)) if f != e.ids]
        tap.ok(not wrong and len(found) == len(texts), f"MiniLM, add_special {add}: a megabyte of text", len(wrong), *wrong[:3])


def posts(rng, scratch):
    texts = corpus(rng, 100)
    for name, post in [("template", processors.TemplateProcessing(single="<pad> $A </s>", special_tokens=[("<pad>", 2), ("</s>", 1)])),
                       ("template at the end", processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])),
                       ("that ends with another token than eos", processors.TemplateProcessing(single="$A <pad>", special_tokens=[("<pad>", 2)])),
                       ("Roberta", processors.RobertaProcessing(("</s>", 1), ("<pad>", 2))),
                       ("Sequence", processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
                           single="<pad> $A", special_tokens=[("<pad>", 2)])]))]:
        t = build("bpe", texts, None, P.ByteLevel(add_prefix_space=False), post=post, byte_level=True)
        compare(f"post_processor {name}", t, scratch, rng, add_special=True)


def main():
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as scratch:
        judge, model = sentencepiece_model(rng, scratch)
        if judge:
            tap.attempt(gguf_unigram, judge, model, scratch, rng)
        for name, t, specials in cases(rng, model and model.normalizer_spec.precompiled_charsmap):
            tap.attempt(compare, name, t, scratch, rng, specials)
        tap.attempt(posts, rng, scratch)
        tap.attempt(wordpieces, rng, scratch)
        for name in PRE:
            tap.attempt(gguf_pre, name, scratch, rng)
    tap.done()


if __name__ == "__main__":
    main()
