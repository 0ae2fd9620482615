#!/usr/bin/env python3
"""Makes models of random weights to measure speed with: right in form, senseless in what they say.

    tests/bench/make_model.py --tokenizer SMOLLM2.gguf --kind f16|bf16|f32|7b-q4_0 OUT.gguf

f16, bf16, f32: about 100 million float weights in SmolLM2-135M's shape with fewer layers, 0.2 or 0.4 GB.
7b-q4_0: the shape of Llama 2 7B with Q4_0 blocks, 3.9 GB; write it to a place that can take that.
The tokenizer and chat template are copied from the GGUF file given.  Needs the Python packages gguf and numpy.
"""
import argparse
import os
import shutil
import sys
from dataclasses import dataclass

import gguf
import numpy as np

WEIGHT_STD = 0.02
CHUNK_VALUES = 1 << 22
SPARE_BYTES = 256 << 20  # left free on the disk


@dataclass
class Shape:
    layers: int
    n_embd: int
    n_ff: int
    n_head: int
    n_kv: int
    n_ctx: int
    tied: bool


SMALL = Shape(layers=20, n_embd=576, n_ff=1536, n_head=9, n_kv=3, n_ctx=32768, tied=True)
LARGE = Shape(layers=32, n_embd=4096, n_ff=11008, n_head=32, n_kv=32, n_ctx=4096, tied=False)
KINDS = {
    "f16": (SMALL, gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (SMALL, gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "f32": (SMALL, gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "7b-q4_0": (LARGE, gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}


def matrices(shape, n_vocab):
    """Name and [rows, columns] of every matrix, in the order of the file."""
    kv = shape.n_embd // shape.n_head * shape.n_kv
    yield "token_embd.weight", (n_vocab, shape.n_embd)
    for i in range(shape.layers):
        for name, rows, cols in (("attn_q", shape.n_embd, shape.n_embd), ("attn_k", kv, shape.n_embd),
                                 ("attn_v", kv, shape.n_embd), ("attn_output", shape.n_embd, shape.n_embd),
                                 ("ffn_gate", shape.n_ff, shape.n_embd), ("ffn_up", shape.n_ff, shape.n_embd),
                                 ("ffn_down", shape.n_embd, shape.n_ff)):
            yield f"blk.{i}.{name}.weight", (rows, cols)
    if not shape.tied:
        yield "output.weight", (n_vocab, shape.n_embd)


def norms(shape):
    yield "output_norm.weight"
    for i in range(shape.layers):
        yield f"blk.{i}.attn_norm.weight"
        yield f"blk.{i}.ffn_norm.weight"


def tensor_bytes(rows, cols, dtype):
    values, size = gguf.GGML_QUANT_SIZES[dtype]
    return rows * cols // values * size


def random_chunk(dtype):
    """Bytes of CHUNK_VALUES random weights; every tensor is made of this chunk, cut at another place."""
    rng = np.random.default_rng(1)
    if dtype == gguf.GGMLQuantizationType.Q4_0:  # f16 scale, 16 bytes of nibbles with zero point 8
        blocks = np.empty((CHUNK_VALUES // 32, 18), dtype=np.uint8)
        scales = rng.uniform(0.5, 1.5, len(blocks)) * WEIGHT_STD / 4.6
        blocks[:, :2] = scales.astype(np.float16)[:, None].view(np.uint8)
        blocks[:, 2:] = rng.integers(0, 256, (len(blocks), 16), dtype=np.uint8)
        return blocks.reshape(-1)
    values = rng.normal(0, WEIGHT_STD, CHUNK_VALUES).astype(np.float32)
    return gguf.quants.quantize(values, dtype).view(np.uint8)


def chunks(chunk, n_bytes, index):
    """n_bytes cut from the chunk over and over, beginning where `index` says."""
    at = index * 7919 * 18 * 64 % len(chunk) // (18 * 64) * (18 * 64)  # whole blocks of every type
    while n_bytes:
        part = chunk[at:at + n_bytes]
        yield part
        n_bytes -= len(part)
        at = 0


def copy_tokenizer(writer, reader):
    for name, field in reader.fields.items():
        if name.startswith("tokenizer."):
            sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=sub)


def add_numbers(writer, kind, shape, n_vocab, file_type):
    writer.add_name(f"random {kind}")
    writer.add_file_type(file_type)
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.n_embd // shape.n_head)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(n_vocab)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def announce(writer, shape, n_vocab, dtype):
    """Enters all tensors in the file's table: first the norms, then the matrices."""
    for name in norms(shape):
        writer.add_tensor_info(name, (shape.n_embd,), np.dtype(np.float32), 4 * shape.n_embd)
    for name, (rows, cols) in matrices(shape, n_vocab):
        size = tensor_bytes(rows, cols, dtype)
        # of bytes gguf works the shape out: rows, and bytes of a row
        writer.add_tensor_info(name, (rows, size // rows), np.dtype(np.uint8), size, raw_dtype=dtype)


def write_data(f, shape, n_vocab, dtype, alignment):
    chunk = random_chunk(dtype)
    ones = np.ones(shape.n_embd, dtype=np.float32).view(np.uint8)
    pad = -len(ones) % alignment
    for _ in norms(shape):
        f.write(ones.tobytes() + bytes(pad))
    for i, (_, (rows, cols)) in enumerate(matrices(shape, n_vocab)):
        size = tensor_bytes(rows, cols, dtype)
        for part in chunks(chunk, size, i):
            f.write(part.data)
        f.write(bytes(-size % alignment))


def make(kind, tokenizer_path, out):
    shape, dtype, file_type = KINDS[kind]
    reader = gguf.GGUFReader(tokenizer_path)
    n_vocab = len(reader.fields["tokenizer.ggml.tokens"].data)
    size = sum(tensor_bytes(rows, cols, dtype) for _, (rows, cols) in matrices(shape, n_vocab))
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(out))).free
    if free < size + SPARE_BYTES:
        sys.exit(f"make_model: {out} needs {size >> 20} MB, {free >> 20} MB are free there")
    writer = gguf.GGUFWriter(None, "llama")
    add_numbers(writer, kind, shape, n_vocab, file_type)
    copy_tokenizer(writer, reader)
    announce(writer, shape, n_vocab, dtype)
    writer.write_header_to_file(out)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    alignment = writer.data_alignment
    writer.close()
    with open(out, "ab") as f:
        f.write(bytes(-f.tell() % alignment))
        write_data(f, shape, n_vocab, dtype, alignment)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", required=True, help="a GGUF file to copy the tokenizer from")
    parser.add_argument("--kind", required=True, choices=KINDS)
    parser.add_argument("out")
    a = parser.parse_args()
    make(a.kind, a.tokenizer, a.out)


if __name__ == "__main__":
    main()
