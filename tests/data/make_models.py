"""Makes tests/data/models/NAME: tiny models of random weights in Hugging Face folders, with what transformers says of them
in float32 (eager attention, no cache) in expected.json: logits of the last position and 32 greedy ids of three prompts.

Seeds are tried until the two best logits of every greedy step stand at least GAP apart, so that no rounding changes an id.

And tests/data/encoders/NAME: models that give vectors, some with the files of sentence-transformers; expected.json has of the same
prompts the mean of the last hidden states, the first and the last of them.
Needs torch, transformers and tokenizers.  `make_models.py [--out FOLDER] [NAME ...]`; the files in the tree were written by
transformers 5.23.0 (encoders: 5.24.0) and torch 2.15.0.
"""
import argparse
import json
import pathlib
import shutil

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

GAP = 0.02
VOCAB = 320  # 256 bytes, the end, and some merges
PROMPTS = {
    "short": "The quick brown fox jumps over the lazy dog.",
    "utf8": "Žluťoučký kůň úpěl ďábelské ódy; 素早い茶色の狐 🦊.",
    "long": "One two three four five six seven eight nine ten. " * 8 + "def f(x):\n    return [x ** 2 for x in range(10)]\n" * 6,
}


def common(**more):
    return {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, "max_position_embeddings": 1024} | more


def version4(rope, **more):
    """Keys as most published folders have them: rope_scaling beside rope_theta, no layer_types, where a rule gives the same."""
    return {"rope_parameters": None, "layer_types": None, "rope_theta": 10000.0, "rope_scaling": rope} | more


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
# name: class, settings of its configuration, type of the stored weights, largest shard, and what config.json says instead (null:
# nothing)
MODELS = {
    "phi": ("Phi", common(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=80,
                          partial_rotary_factor=0.5), torch.float16, None),
    "falcon": ("Falcon", common(hidden_size=40, num_hidden_layers=2, num_attention_heads=5), torch.float32, None),
    "falcon_alibi": ("Falcon", common(hidden_size=36, num_hidden_layers=2, num_attention_heads=6, alibi=True, multi_query=False,
                                      parallel_attn=False, bias=True), torch.float32, None),
    "falcon_new": ("Falcon", common(hidden_size=64, num_hidden_layers=2, num_attention_heads=8, num_kv_heads=2,
                                    new_decoder_architecture=True, ffn_hidden_size=144), torch.bfloat16, "60KB"),
    "stablelm": ("StableLm", common(hidden_size=48, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3,
                                    intermediate_size=80, use_qkv_bias=True, partial_rotary_factor=0.25), torch.float16, None),
    "stablelm_parallel": ("StableLm", common(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                             intermediate_size=96, qk_layernorm=True, use_parallel_residual=True,
                                             partial_rotary_factor=0.5), torch.float16, "60KB"),
    # grows past its first 96 positions while it generates
    "phi3_longrope": ("Phi3", common(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
                                     intermediate_size=80, original_max_position_embeddings=96, sliding_window=None,
                                     rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0,
                                                      "original_max_position_embeddings": 96,
                                                      "short_factor": [1.0 + 0.1 * i for i in range(8)],
                                                      "long_factor": [1.5 + 0.4 * i for i in range(8)]}), torch.float16, None),
    # the window in layers that no rule gives
    "qwen2_window": ("Qwen2", common(hidden_size=40, num_hidden_layers=5, num_attention_heads=5, num_key_value_heads=1,
                                     intermediate_size=48, use_sliding_window=True, sliding_window=24,
                                     layer_types=["full_attention", "sliding_attention", "sliding_attention", "full_attention",
                                                  "sliding_attention"]), torch.bfloat16, None),
    "gemma": ("Gemma", common(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=20,
                              intermediate_size=112), torch.float32, None),
    "mixtral": ("Mixtral", common(hidden_size=48, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3,
                                  intermediate_size=56, num_local_experts=5, num_experts_per_tok=2), torch.bfloat16, "100KB"),
    "qwen2_moe": ("Qwen2Moe", common(hidden_size=48, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1,
                                     intermediate_size=80, moe_intermediate_size=24, shared_expert_intermediate_size=40,
                                     num_experts=7, num_experts_per_tok=3, mlp_only_layers=[1]), torch.bfloat16, None),
    # what a family may have and most of its models do not: biases, norms, scaling of positions, windows by other rules
    "llama_biases": ("Llama", common(hidden_size=40, num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=1, head_dim=12,
                                     intermediate_size=44, attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
                                     rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0, "factor": 2.0,
                                                      "original_max_position_embeddings": 96,
                                                      "short_factor": [1.0 + 0.1 * i for i in range(6)],
                                                      "long_factor": [1.5 + 0.4 * i for i in range(6)]}), torch.bfloat16, None),
    "gpt2_by_layer": ("GPT2", common(n_embd=36, n_layer=3, n_head=3, n_inner=44, tie_word_embeddings=False, max_position_embeddings=320,
                                     scale_attn_by_inverse_layer_idx=True), torch.float16, None),
    "phi_norms": ("Phi", common(hidden_size=40, num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=1, intermediate_size=44,
                                qk_layernorm=True, rope_parameters=LLAMA3 | {"rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
                  torch.float16, None),
    "gemma3_yarn": ("Gemma3", common(hidden_size=40, num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=1, head_dim=12,
                                     intermediate_size=44, query_pre_attn_scalar=12, sliding_window=24, attention_bias=True,
                                     tie_word_embeddings=False,
                                     layer_types=["sliding_attention", "full_attention", "full_attention"],
                                     rope_parameters={"full_attention": YARN | {"rope_theta": 1000000.0},
                                                      "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}),
                    torch.bfloat16, None),
    "smollm3_layers": ("SmolLM3", common(hidden_size=40, num_hidden_layers=4, num_attention_heads=5, num_key_value_heads=1,
                                         intermediate_size=44, no_rope_layers=[1, 0, 0, 1], use_sliding_window=True, sliding_window=24,
                                         rope_parameters=YARN | {"rope_theta": 10000.0}), torch.bfloat16, None, version4(YARN)),
    "qwen2_moe_window": ("Qwen2Moe", common(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=1,
                                            intermediate_size=40, moe_intermediate_size=16, shared_expert_intermediate_size=16,
                                            num_experts=4, num_experts_per_tok=2, norm_topk_prob=True, qkv_bias=False,
                                            use_sliding_window=True, sliding_window=24, max_window_layers=3), torch.bfloat16, "60KB",
                         version4(None)),
    # matrices in 8-bit floats: a scale for each 128 x 128, or one and rows of an odd length
    "fp8_block": ("Qwen3", common(hidden_size=160, num_hidden_layers=1, num_attention_heads=5, num_key_value_heads=1, head_dim=32,
                                  intermediate_size=224, tie_word_embeddings=True), torch.bfloat16, None),
    "fp8_tensor": ("Llama", common(hidden_size=72, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
                                   intermediate_size=160), torch.bfloat16, None),
}


# name: class, settings, type of the weights, tokenizer (what it is made of, and the token behind a text), flags of 1_Pooling
ENCODERS = {
    "bert": ("BertModel", common(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=80, pad_token_id=0,
                                 max_position_embeddings=512), torch.float32, ("uncased", "[SEP]"), ["mean_tokens"]),
    # with what it was trained with, and names with a prefix
    "bert_masked": ("BertForMaskedLM", common(hidden_size=40, num_hidden_layers=3, num_attention_heads=5, intermediate_size=56, pad_token_id=0,
                                              type_vocab_size=3, hidden_act="gelu_new", max_position_embeddings=256),
                    torch.bfloat16, ("cased", "[SEP]"), ["cls_token"]),
    "roberta": ("RobertaModel", common(hidden_size=48, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, pad_token_id=1,
                                       type_vocab_size=1, max_position_embeddings=322), torch.float16, ("bytes", "</s>"), None),
    "xlm_roberta": ("XLMRobertaModel", common(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                                              pad_token_id=1, type_vocab_size=1, max_position_embeddings=514),
                    torch.float32, ("unigram", "</s>"), ["cls_token"]),
    "nomic_bert": ("NomicBertModel", common(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=64, pad_token_id=0,
                                            max_position_embeddings=2048), torch.float32, ("uncased", "[SEP]"), ["mean_tokens"]),
    # a decoder without its head, whose texts end with a token of their own
    "qwen3_last": ("Qwen3Model", common(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=20,
                                        intermediate_size=64), torch.bfloat16, ("bytes", "<|stop|>"), ["lasttoken"]),
}


FP8 = {
    "fp8_block": {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
    "fp8_tensor": {"quant_method": "fp8", "activation_scheme": "static"},
}


def tokenizer():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator([PROMPTS["short"], PROMPTS["long"]] * 4, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=t, eos_token="<|end|>")


def framed_tokenizer(kind, last):
    """One that puts a token before a text (of encoders) and `last` behind it."""
    first = {"[SEP]": "[CLS]", "</s>": "<s>"}.get(last)
    special = {"[CLS]": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "<s>": ["<s>", "<pad>", "</s>", "<unk>"]}.get(first, ["<|end|>", last])
    texts = [PROMPTS["short"], PROMPTS["long"]] * 4
    options = {"vocab_size": VOCAB, "special_tokens": special, "show_progress": False}
    if kind == "bytes":
        t = Tokenizer(models.BPE())
        t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        t.train_from_iterator(texts, trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **options))
    elif kind == "unigram":
        t = Tokenizer(models.Unigram())
        t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
        t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        t.train_from_iterator(texts, trainers.UnigramTrainer(unk_token="<unk>", **options))
    else:
        t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        t.normalizer = normalizers.BertNormalizer(lowercase=kind == "uncased")
        t.pre_tokenizer, t.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
        t.train_from_iterator(texts, trainers.WordPieceTrainer(**options))
    names = [n for n in (first, last) if n]
    t.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}" if first else f"$A {last}",
                                                     special_tokens=[(n, t.token_to_id(n)) for n in names])
    return PreTrainedTokenizerFast(tokenizer_object=t, **({"cls_token": first, "sep_token": last} if first else {"eos_token": "<|end|>"}))


def randomise(model, seed, dtype):
    """Noise of 1.6 / sqrt(inputs) in matrices, of 0.3 around what vectors are at first; rounded to the type that is stored."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if p.dim() >= 2:  # experts' matrices lie in one tensor
                p.copy_(noise * (0.5 if "embed" in name else 1.6 / p.shape[-1] ** 0.5))
            else:
                p.copy_((p if "norm" in name.lower() or "ln_" in name else 0) + noise * 0.3)
            p.copy_(p.to(dtype).float())


def quantise(model, block):
    """Matrices of layers as 8-bit floats and scales (per block, or one for all); the model goes on with what they stand for."""
    stored = {}
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() != 2 or ".layers." not in name:
                continue
            height, width = block or p.shape
            scale = torch.tensor([[p[r:r + height, c:c + width].abs().max() / 448 for c in range(0, p.shape[1], width)]
                                  for r in range(0, p.shape[0], height)])
            whole = scale.repeat_interleave(height, 0).repeat_interleave(width, 1)[:p.shape[0], :p.shape[1]]
            codes = (p / whole).to(torch.float8_e4m3fn)
            p.copy_(codes.float() * whole)
            stored[name] = codes
            stored[name + ("_scale_inv" if block else "_scale")] = scale if block else scale.reshape(())
            if not block:
                stored[name.replace("weight", "input_scale")] = torch.tensor(0.01)
    return stored


def store_settings(folder, changes):
    settings = {k: v for k, v in json.loads((folder / "config.json").read_text()).items() if k not in changes}
    settings |= {k: v for k, v in changes.items() if v is not None}
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")


def store_fp8(folder, stored, config):
    file = folder / "model.safetensors"
    save_file(load_file(file) | stored, file, metadata={"format": "pt"})
    store_settings(folder, {"quantization_config": config})


def evaluate(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float()


def token_bytes(token):
    """What a token of a byte-level vocabulary stands for: GPT-2 writes bytes that cannot be printed as U+0100 and on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    odd = [b for b in range(256) if b not in plain]
    return bytes(ord(c) if ord(c) < 256 else odd[ord(c) - 256] for c in token) if token != "<|end|>" else b""


def record(model, name, text, ids, steps=32):
    first = evaluate(model, ids)[-1]
    top = torch.topk(first, 20)
    out, gaps = list(ids), []
    for _ in range(steps):
        two = torch.topk(evaluate(model, out)[-1], 2)
        gaps.append(float(two.values[0] - two.values[1]))
        out.append(int(two.indices[0]))
    return {"name": name, "text": text, "ids": ids,
            "logits_last_top": [[int(i), round(float(v), 6)] for i, v in zip(top.indices, top.values)],
            "logits_sum": round(float(first.double().sum()), 5), "greedy_ids": out[len(ids):],
            "greedy_gaps": [round(v, 5) for v in gaps]}


def same_as_stored(folder, attention, prompts):
    """What config.json says is what was computed with."""
    again = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()
    last = [evaluate(again, p["ids"])[-1] for p in prompts]
    worst = max(abs(float(x[i]) - v) for x, p in zip(last, prompts) for i, v in p["logits_last_top"])
    if worst > 1e-4:
        raise SystemExit(f"{folder.name}: the folder's logits are {worst} from those that are recorded")


def make(name, out):
    kind, settings, dtype, shard, *stored = MODELS[name]
    config = getattr(transformers, {"Gemma3": "Gemma3Text"}.get(kind, kind) + "Config")(**settings)
    # eager attention of this version adds ALiBi's term twice, in the mask and beside it; others, and training, once
    config._attn_implementation = "sdpa" if settings.get("alibi") else "eager"
    text = tokenizer()
    for seed in range(1, 200):
        model = getattr(transformers, "GPT2LMHeadModel" if kind == "GPT2" else kind + "ForCausalLM")(config).eval()
        randomise(model, seed, dtype)
        fp8 = quantise(model, FP8[name].get("weight_block_size")) if name in FP8 else None
        prompts = []
        for key, prompt in PROMPTS.items():
            prompts.append(record(model, key, prompt, text.encode(prompt)))
            if min(prompts[-1]["greedy_gaps"]) < GAP:
                break
        else:
            if len({i for p in prompts for i in p["greedy_ids"]}) >= 8:
                break
    else:
        raise SystemExit(f"{name}: no seed has gaps of {GAP}")
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    if fp8:
        store_fp8(folder, fp8, FP8[name])
    text.save_pretrained(folder)
    if stored:
        store_settings(folder, *stored)
    if not fp8:
        same_as_stored(folder, config._attn_implementation, prompts)
    for prompt in prompts:
        tokens = text.convert_ids_to_tokens(prompt["greedy_ids"])
        prompt["greedy_bytes_hex"] = b"".join(map(token_bytes, tokens)).hex()
    (folder / "expected.json").write_text(json.dumps(
        {"seed": seed, "by": f"transformers {transformers.__version__}, torch {torch.__version__}", "prompts": prompts}) + "\n")
    print(name, "seed", seed, "gap", min(g for p in prompts for g in p["greedy_gaps"]),
          sum(f.stat().st_size for f in folder.iterdir()), "bytes", flush=True)


def store_pooling(folder, flags, width):
    """As sentence-transformers writes it."""
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    (folder / "modules.json").write_text(json.dumps([{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                                                     for i, (kind, path) in enumerate(kinds)], indent=2) + "\n")
    (folder / "1_Pooling").mkdir()
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": width} | {
        f"pooling_mode_{mode}": mode in flags for mode in modes} | {"include_prompt": True}, indent=2) + "\n")


def make_encoder(name, out):
    kind, settings, dtype, frame, flags = ENCODERS[name]
    text = framed_tokenizer(*frame)
    config = getattr(transformers, kind.removesuffix("ForMaskedLM").removesuffix("Model") + "Config")(**settings)
    config._attn_implementation = "eager"
    model = getattr(transformers, kind)(config).eval()
    randomise(model, 1, dtype)
    prompts = []
    for key, prompt in PROMPTS.items():
        ids = text.encode(prompt)
        with torch.no_grad():
            hidden = (model if kind.endswith("Model") else model.base_model)(torch.tensor([ids])).last_hidden_state[0].double()
        prompts.append({"name": key, "text": prompt, "ids": ids} | {
            how: [round(float(x), 6) for x in v] for how, v in [("mean", hidden.mean(0)), ("cls", hidden[0]), ("last", hidden[-1])]})
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder)
    text.save_pretrained(folder)
    if flags:
        store_pooling(folder, flags, config.hidden_size)
    (folder / "expected.json").write_text(json.dumps(
        {"by": f"transformers {transformers.__version__}, torch {torch.__version__}", "texts": prompts}) + "\n")
    print(name, [len(p["ids"]) for p in prompts], sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()), "bytes", flush=True)


def record_minilm(folder, out):
    """The real all-MiniLM-L6-v2 of conf/fetch-model: some texts' means in float32."""
    text, model = transformers.AutoTokenizer.from_pretrained(folder), transformers.AutoModel.from_pretrained(folder).eval()
    texts = []
    for prompt in [*PROMPTS.values(), "a", "The cat sits on the mat.", "A kitten is resting on a rug.", "Interest rates rose again in March."]:
        ids = text(prompt, split_special_tokens=True)["input_ids"]
        with torch.no_grad():
            mean = model(torch.tensor([ids])).last_hidden_state[0].double().mean(0)
        texts.append({"text": prompt, "tokens": len(ids), "mean": [round(float(x), 7) for x in mean]})
    (out / "minilm.json").write_text(json.dumps({"by": f"transformers {transformers.__version__}", "texts": texts}) + "\n")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--minilm", type=pathlib.Path, help="only record vectors of this folder")
    options.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    options.add_argument("names", nargs="*")
    asked = options.parse_args()
    torch.set_num_threads(1)
    if asked.minilm:
        record_minilm(asked.minilm, asked.out)
        raise SystemExit
    for each in asked.names or [*MODELS, *ENCODERS]:
        if each in ENCODERS:
            make_encoder(each, asked.out / "encoders")
        else:
            make(each, asked.out / "models")
