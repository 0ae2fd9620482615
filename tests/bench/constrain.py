"""Masks and compile times of airstrip-probe, llguidance and xgrammar, on the same schemas and the same texts.

    python3 constrain.py PROBE MODEL FOLDER      with numpy, gguf, llguidance and xgrammar (which brings torch) from PyPI

FOLDER holds schemas (*.json), or test files of the JSON Schema test suite.  The texts are random ones that Airstrip generated, cut into the
longest tokens.  One thread each.  Times in microseconds of processor time, so that others on the machine hardly count.
"""
import json
import pathlib
import subprocess
import sys
import time

import gguf
import llguidance
import llguidance.numpy
import xgrammar

probe, model, folder = sys.argv[1:4]


def schemas():
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, list):
            yield from (group["schema"] for group in content)
        else:
            yield content


def vocabulary():
    """The bytes of each token, None for control tokens; and the token that ends."""
    fields = gguf.GGUFReader(model).fields
    tokens = [bytes(fields["tokenizer.ggml.tokens"].parts[i]) for i in fields["tokenizer.ggml.tokens"].data]
    types = [int(fields["tokenizer.ggml.token_type"].parts[i][0]) for i in fields["tokenizer.ggml.token_type"].data]
    byte_level = bytes(fields["tokenizer.ggml.model"].parts[-1]) == b"gpt2"
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    letters = {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}

    def text(token, kind):
        if kind == 3:
            return None
        if byte_level:
            return bytes(letters.get(c, 63) for c in token.decode())
        return bytes([int(token[3:5], 16)]) if kind == 6 else token.replace("\u2581".encode(), b" ")
    return [text(t, k) for t, k in zip(tokens, types)], int(fields["tokenizer.ggml.eos_token_id"].parts[-1][0])


VOCABULARY, END = vocabulary()
IDS = {v: i for i, v in reversed(list(enumerate(VOCABULARY))) if v}
LONGEST = max(map(len, IDS))


def cut(data):
    """Longest tokens first; None where a byte has none."""
    ids = []
    while data:
        n = next((n for n in range(min(LONGEST, len(data)), 0, -1) if data[:n] in IDS), None)
        if n is None:
            return None
        ids.append(IDS[data[:n]])
        data = data[n:]
    return ids


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * q))] if values else float("nan")


def tell(name, total, compiled, masks):
    """masks: the times of each schema."""
    every = [t for times in masks for t in times]
    print(f"{name:10}  compiled {len(compiled)} of {total}; compile: median {quantile(compiled, .5):.0f}, 90th percentile {quantile(compiled, .9):.0f}, "
          f"longest {max(compiled):.0f}; all {len(every)} masks: median {quantile(every, .5):.1f}, 99th percentile {quantile(every, .99):.0f}, "
          f"99.9th {quantile(every, .999):.0f}, longest {max(every):.0f}; 99th percentile of the median schema "
          f"{quantile([quantile(m, .99) for m in masks], .5):.0f}")


class Tokens:
    """What llguidance wants to know of a vocabulary."""
    eos_token_id, bos_token_id = END, None
    tokens = [v if v is not None else b"\xff<%d>" % i for i, v in enumerate(VOCABULARY)]
    special_token_ids = [i for i, v in enumerate(VOCABULARY) if v is None]

    def __call__(self, text):
        return cut(text if isinstance(text, bytes) else text.encode())


def timed(name, total, texts, compile_one, start, mask, accept):
    compiled, masks, refused = [], [], 0
    for schema, own in texts:
        begin = time.thread_time()
        try:
            grammar = compile_one(schema)
        except Exception:
            continue
        compiled.append((time.thread_time() - begin) * 1e6)
        times = []
        for ids in own:
            matcher = start(grammar)
            for i in ids or []:
                begin = time.thread_time()
                mask(matcher)
                times.append((time.thread_time() - begin) * 1e6)
                if not accept(matcher, i):
                    refused += 1
                    break
        if times:
            masks.append(times)
    tell(name, total, compiled, masks)
    print(f"{'':12}{refused} of our texts refused")


def main():
    todo = list(schemas())
    text = "".join(json.dumps({"schema": s, "samples": 3, "tokens": 60, "seed": 5, "times": True}) + "\n" for s in todo)
    run = subprocess.run([probe, "constrain", model], input=text.encode(), capture_output=True, check=True)
    ours = [json.loads(line) for line in run.stdout.splitlines()]
    good = [o for o in ours if "error" not in o]
    tell("airstrip", len(todo), [o["compile_us"] for o in good], [o["mask_us"] for o in good])
    texts = [(s, [cut(t.encode()) for t in o.get("texts", []) if t]) for s, o in zip(todo, ours)]

    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tokens()))
    bits = llguidance.numpy.allocate_token_bitmask(1, tokenizer.vocab_size)

    def matcher_of(schema):
        m = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_json_schema(schema))
        if m.is_error():
            raise ValueError(m.get_error())
        return m

    def reset(m):
        m.reset()
        return m
    timed("llguidance", len(todo), texts, matcher_of, reset, lambda m: llguidance.numpy.fill_next_token_bitmask(m, bits, 0),
          lambda m, i: m.consume_token(i))
    compiler = xgrammar.GrammarCompiler(
        xgrammar.TokenizerInfo([v or b"" for v in VOCABULARY], vocab_type=xgrammar.VocabType.RAW, vocab_size=len(VOCABULARY), stop_token_ids=[END]),
        max_threads=1, cache_enabled=False)
    mask = xgrammar.allocate_token_bitmask(1, len(VOCABULARY))
    timed("xgrammar", len(todo), texts, lambda s: compiler.compile_json_schema(json.dumps(s), any_whitespace=True), xgrammar.GrammarMatcher,
          lambda m: m.fill_next_token_bitmask(mask), lambda m, i: m.accept_token(i))


main()
