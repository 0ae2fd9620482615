"""Damaged model files: each is refused by `airstrip --check` with a sentence, on the sanitized build.

The files are made from a tiny good one: its bytes are taken apart, one thing is changed, and it is put together again.
"""
import os
import struct
import subprocess
import tempfile

from stack import TOP, program
import tap

KINDS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9


class Gguf:
    """A GGUF file in pieces: keys [(name, kind, raw bytes)], tensors [[name, dims, type, offset]], data."""

    def __init__(self, blob):
        self.at, self.blob = 4, blob
        self.version, n_tensors, n_keys = self.take("<I"), self.take("<Q"), self.take("<Q")
        self.keys = []
        for _ in range(n_keys):
            name, kind = self.string(), self.take("<I")
            start = self.at
            self.skip(kind)
            self.keys.append([name, kind, blob[start:self.at]])
        self.tensors = []
        for _ in range(n_tensors):
            name = self.string()
            dims = [self.take("<Q") for _ in range(self.take("<I"))]
            self.tensors.append([name, dims, self.take("<I"), self.take("<Q")])
        self.data = blob[(self.at + 31) // 32 * 32:]

    def take(self, form):
        value = struct.unpack_from(form, self.blob, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def string(self):
        n = self.take("<Q")
        self.at += n
        return self.blob[self.at - n:self.at]

    def skip(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            inner, n = self.take("<I"), self.take("<Q")
            for _ in range(n):
                self.skip(inner)
        else:
            self.take(KINDS[kind])

    def build(self):
        def text(s):
            return struct.pack("<Q", len(s)) + s
        out = b"GGUF" + struct.pack("<IQQ", self.version, len(self.tensors), len(self.keys))
        for name, kind, raw in self.keys:
            out += text(name) + struct.pack("<I", kind) + raw
        for name, dims, kind, offset in self.tensors:
            out += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
            out += struct.pack("<IQ", kind, offset)
        return out + b"\0" * (-len(out) % 32) + self.data

    def key(self, name):
        return next(k for k in self.keys if k[0] == name.encode())

    def tensor(self, name):
        return next(t for t in self.tensors if t[0] == name.encode())

    def set(self, name, kind, form, value):
        self.key(name)[1:] = [kind, struct.pack(form, value)]

    def drop_key(self, name):
        self.keys.remove(self.key(name))

    def drop_tensor(self, name):
        self.tensors.remove(self.tensor(name))


def u32(name, value):
    return lambda g: g.set(name, 4, "<I", value)


def text_key(name, value):
    return lambda g: g.key(name).__setitem__(slice(1, 3), [STRING, struct.pack("<Q", len(value)) + value])


def dims(name, *value):
    return lambda g: g.tensor(name).__setitem__(1, list(value))


def offset(name, value):
    return lambda g: g.tensor(name).__setitem__(3, value)


def shorten_array(name):
    def change(g):
        raw = g.key(name)[2]
        kind, n = struct.unpack_from("<IQ", raw)
        size = struct.calcsize(KINDS[kind])
        g.key(name)[2] = struct.pack("<IQ", kind, n - 3) + raw[12:12 + (n - 3) * size]
    return change


def patch(at, data):
    """Changes bytes of the finished file."""
    return lambda blob: blob[:at] + data + blob[at + len(data):]


HUGE = (1 << 64) - 8
# (name, change of the pieces or None, change of the bytes or None, a word that the sentence must hold)
CASES = [
    ("empty file", None, lambda b: b"", ""),
    ("three bytes", None, lambda b: b"GGU", ""),
    ("not GGUF", None, lambda b: b"PK\x03\x04" + b[4:], "GGUF"),
    ("version 1", None, patch(4, struct.pack("<I", 1)), "version"),
    ("version 99", None, patch(4, struct.pack("<I", 99)), "version"),
    ("big-endian", None, patch(4, struct.pack(">I", 3)), ""),
    ("tensor count that wraps", None, patch(8, struct.pack("<Q", HUGE)), ""),
    ("key count that wraps", None, patch(16, struct.pack("<Q", HUGE)), ""),
    ("first key's length wraps", None, patch(24, struct.pack("<Q", HUGE)), "byte"),
    ("cut in the header", None, lambda b: b[:20], ""),
    ("cut in the keys", None, lambda b: b[:200], ""),
    ("cut in the tensor list", lambda g: g.__setattr__("data", b""), lambda b: b[:-300], ""),
    ("cut in the data", None, lambda b: b[:-1000], ""),
    ("no data at all", lambda g: g.__setattr__("data", b""), None, ""),
    ("unknown family", text_key("general.architecture", b"abacus"), None, "abacus"),
    ("family a number", u32("general.architecture", 3), None, "architecture"),
    ("no family", lambda g: g.drop_key("general.architecture"), None, "architecture"),
    ("no layer count", lambda g: g.drop_key("llama.block_count"), None, "block_count"),
    ("too many layers", u32("llama.block_count", 9), None, "blk."),
    ("layers without end", u32("llama.block_count", 0xffffffff), None, "block_count"),
    ("no heads", u32("llama.attention.head_count", 0), None, "head_count"),
    ("heads that do not divide", u32("llama.attention.head_count", 7), None, ""),
    ("another width", u32("llama.embedding_length", 96), None, ""),
    ("width zero", u32("llama.embedding_length", 0), None, "embedding_length"),
    ("context zero", u32("llama.context_length", 0), None, "context_length"),
    ("missing matrix", lambda g: g.drop_tensor("blk.0.attn_q.weight"), None, "blk.0.attn_q.weight"),
    ("missing norm", lambda g: g.drop_tensor("output_norm.weight"), None, "output_norm.weight"),
    ("missing embedding", lambda g: g.drop_tensor("token_embd.weight"), None, "token_embd.weight"),
    ("wrong shape", dims("blk.0.attn_k.weight", 64, 16), None, "blk.0.attn_k.weight"),
    ("shape whose product wraps", dims("blk.0.attn_k.weight", 1 << 33, 1 << 33), None, "blk.0.attn_k.weight"),
    ("shape with a zero", dims("blk.0.attn_k.weight", 64, 0), None, "blk.0.attn_k.weight"),
    ("five dimensions", dims("blk.0.attn_k.weight", 64, 1, 1, 1, 1), None, "blk.0.attn_k.weight"),
    ("no dimension", dims("blk.0.attn_k.weight"), None, "blk.0.attn_k.weight"),
    ("row that is no whole block", dims("blk.0.attn_k.weight", 33, 64), None, "blk.0.attn_k.weight"),
    ("unknown tensor type", lambda g: g.tensor("blk.0.attn_k.weight").__setitem__(2, 77), None, "blk.0.attn_k.weight"),
    ("offset beyond the end", offset("blk.0.attn_k.weight", 1 << 40), None, "blk.0.attn_k.weight"),
    ("offset that wraps", offset("blk.0.attn_k.weight", HUGE), None, "blk.0.attn_k.weight"),
    ("offset not aligned", offset("blk.0.attn_k.weight", 33), None, "blk.0.attn_k.weight"),
    ("a tensor twice", lambda g: g.tensors.append(list(g.tensors[0])), None, ""),
    ("a key twice", lambda g: g.keys.append(list(g.keys[0])), None, ""),
    ("unknown value kind", lambda g: g.key("llama.block_count").__setitem__(1, 66), None, ""),
    ("unknown tokenizer", text_key("tokenizer.ggml.model", b"telepathy"), None, "telepathy"),
    ("no tokens", lambda g: g.drop_key("tokenizer.ggml.tokens"), None, "tokenizer.ggml.tokens"),
    ("fewer token types than tokens", shorten_array("tokenizer.ggml.token_type"), None, "token_type"),
    ("fewer scores than tokens", shorten_array("tokenizer.ggml.scores"), None, "scores"),
    ("first token beyond the vocabulary", u32("tokenizer.ggml.bos_token_id", 1 << 30), None, "bos"),
    ("a template that does not parse", lambda g: g.keys.append(
        [b"tokenizer.chat_template", STRING, struct.pack("<Q", 9) + b"{% if x %"]) if not any(
            k[0] == b"tokenizer.chat_template" for k in g.keys) else text_key("tokenizer.chat_template", b"{% if x %")(g), None,
     "template"),
]


def check(path):
    done = subprocess.run([program(sanitized=True), "--check", "--model", path], capture_output=True, text=True, timeout=60,
                          errors="replace")
    return done.returncode, done.stderr.strip()


def one_case(good, folder, name, pieces, raw, word):
    g = Gguf(good)
    if pieces:
        pieces(g)
    blob = g.build() if pieces else good
    if raw:
        blob = raw(blob)
    path = os.path.join(folder, "model.gguf")
    with open(path, "wb") as f:
        f.write(blob)
    code, said = check(path)
    tap.ok(code == 1 and len(said) > 20 and word in said and "Sanitizer" not in said and "runtime error" not in said,
           f"{name}: {said.splitlines()[-1][-160:] if said else ''}", f"exit status {code}", said)


def main():
    shared = os.environ.get("AIRSTRIP_SHARED", os.path.join(TOP, "..", "shared"))
    source = os.path.join(TOP, "tests", "data", "gguf", "llama-Q8_0.gguf")
    if not os.path.exists(source):
        source = os.path.join(shared, "golden", "gguf", "llama", "llama-Q8_0.gguf")
    if not os.path.exists(source):
        tap.skip("damaged models", "there is no small good model to begin with")
        return
    good = open(source, "rb").read()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "good.gguf")
        for name, blob in (("the good file", good), ("taken apart and put together", Gguf(good).build())):
            with open(path, "wb") as f:
                f.write(blob)
            code, said = check(path)
            tap.ok(code == 0, f"{name} is accepted", said)
        for case in CASES:
            tap.attempt(one_case, good, folder, *case)
        code, said = check(os.path.join(folder, "nothing.gguf"))
        tap.ok(code == 1 and "nothing.gguf" in said, "a missing file", said)
        code, said = check(folder)
        tap.ok(code == 1 and said, "a folder", said)


main()
tap.done()
