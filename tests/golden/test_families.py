"""GGUF files of the families in tests/data/models, made here under the names that llama.cpp's converter gives: logits and
greedy ids against what transformers recorded of the folder."""
import json
import pathlib
import re
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
sys.path.insert(0, str(here))
import tap  # noqa: E402
from probe import distance, isas, read_tensors  # noqa: E402

models = here.parent / "data" / "models"
COMMON = {"model.embed_tokens": "token_embd", "lm_head": "output", "input_layernorm": "attn_norm", "mlp.gate_proj": "ffn_gate",
          "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
          "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "model.norm": "output_norm",
          "post_attention_layernorm": "ffn_norm"}
FALCON = {"transformer.word_embeddings": "token_embd", "transformer.ln_f": "output_norm", "input_layernorm": "attn_norm",
          "ln_attn": "attn_norm_2", "ln_mlp": "attn_norm", "post_attention_layernorm": "ffn_norm",
          "self_attention.query_key_value": "attn_qkv", "self_attention.dense": "attn_output",
          "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"}
# model_type: name in GGUF, names of tensors
NAMES = {
    "phi": ("phi2", COMMON | {"model.final_layernorm": "output_norm", "self_attn.dense": "attn_output", "mlp.fc1": "ffn_up",
                              "mlp.fc2": "ffn_down"}),
    "stablelm": ("stablelm", COMMON),
    "gemma": ("gemma", COMMON),
    "falcon": ("falcon", FALCON),
    "mixtral": ("llama", COMMON | {"block_sparse_moe.gate": "ffn_gate_inp", "experts.w1": "ffn_gate_exps",
                                   "experts.w3": "ffn_up_exps", "experts.w2": "ffn_down_exps"}),
    "qwen2_moe": ("qwen2moe", COMMON | {"mlp.gate": "ffn_gate_inp", "mlp.shared_expert_gate": "ffn_gate_inp_shexp"} |
                  {f"{there}.{part}_proj": f"ffn_{part}_{here}" for part in ["gate", "up", "down"]
                   for there, here in [("experts", "exps"), ("mlp.shared_expert", "shexp")]}),
}
NOT_IN_GGUF = {"falcon_alibi", "phi_norms", "qwen2_moe_window"}  # llama.cpp has no such models


def load(folder):
    import numpy as np
    tensors = {}
    for file in folder.glob("*.safetensors"):
        for name, (dtype, shape, raw) in read_tensors(file).items():
            if dtype == "BF16":
                x = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
            else:
                x = np.frombuffer(raw, {"F32": np.float32, "F16": np.float16}[dtype])
            tensors[name] = x.astype(np.float32).reshape(shape)
    return tensors


def renamed(tensors, config, names):
    import numpy as np
    out, heads, experts = {}, {}, {}
    n_head = config["num_attention_heads"]
    for name, x in tensors.items():
        layer = re.match(r"(model\.layers|transformer\.h)\.(\d+)\.(.*)", name)
        own, kind = (layer.group(3) if layer else name).rsplit(".", 1)
        prefix = f"blk.{layer.group(2)}." if layer else ""
        head = re.match(r"self_attn\.([qk])_layernorm\.norms\.(\d+)$", own)
        if head:
            heads.setdefault(f"{prefix}attn_{head.group(1)}_norm.{kind}", {})[int(head.group(2))] = x
            continue
        expert = re.match(r"(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(.*)", own)
        if expert:
            experts.setdefault(f"{prefix}{names['experts.' + expert.group(2)]}.{kind}", {})[int(expert.group(1))] = x
            continue
        if config["model_type"] == "mixtral" and own in ("self_attn.q_proj", "self_attn.k_proj"):  # rotated pairs side by side
            heads_of = n_head if own == "self_attn.q_proj" else config["num_key_value_heads"]
            x = x.reshape(heads_of, 2, -1, x.shape[1]).swapaxes(1, 2).reshape(x.shape)
        if own == "mlp.shared_expert_gate":
            x = x[0]
        if config["model_type"] == "gemma" and "norm" in own:
            x = x + 1
        if own.endswith("query_key_value"):  # heads of queries, then of keys, then of values
            dim = config["hidden_size"] // n_head
            per = config["num_attention_heads"] // config["num_kv_heads"] if config["new_decoder_architecture"] else n_head
            grouped = x.reshape(-1, per + 2, dim, *x.shape[1:])
            x = np.concatenate([part.reshape(-1, *x.shape[1:]) for part in (grouped[:, :per], grouped[:, per], grouped[:, per + 1])])
        out[f"{prefix}{names[own]}.{kind}"] = x
    for name, parts in [*heads.items(), *experts.items()]:
        out[name] = np.stack([parts[i] for i in range(len(parts))])
    return out


def write(path, folder):
    import gguf
    import numpy as np
    config = json.loads((folder / "config.json").read_text())
    name, names = NAMES[config["model_type"]]
    w = gguf.GGUFWriter(path, name)
    n_head, n_embd = config["num_attention_heads"], config["hidden_size"]
    head_dim = config.get("head_dim") or n_embd // n_head
    n_kv = config.get("num_key_value_heads") or n_head
    if name == "falcon":
        n_kv = config["num_kv_heads"] if config["new_decoder_architecture"] else 1
    w.add_block_count(config["num_hidden_layers"])
    w.add_embedding_length(n_embd)
    w.add_feed_forward_length(config.get("intermediate_size") or config.get("ffn_hidden_size") or 4 * n_embd)
    w.add_context_length(config["max_position_embeddings"])
    w.add_head_count(n_head)
    w.add_head_count_kv(n_kv)
    if head_dim * n_head != n_embd:
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
    if "moe_intermediate_size" in config:
        w.add_expert_feed_forward_length(config["moe_intermediate_size"])
        w.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])
    if "num_experts_per_tok" in config:
        w.add_expert_count(config.get("num_experts") or config["num_local_experts"])
        w.add_expert_used_count(config["num_experts_per_tok"])
    if "rms_norm_eps" in config:
        w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    else:
        w.add_layer_norm_eps(config.get("layer_norm_eps") or config["layer_norm_epsilon"])
    rope = config.get("rope_parameters") or {}
    w.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1)))
    w.add_rope_freq_base(rope.get("rope_theta", 10000.0))
    for key, x in renamed(load(folder), config, names).items():
        w.add_tensor(key, np.ascontiguousarray(x))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def family(folder, scratch):
    path = pathlib.Path(scratch) / (folder.name + ".gguf")
    write(path, folder)
    prompts = json.loads((folder / "expected.json").read_text())["prompts"]
    for isa in isas():
        worst, strays = distance(path, prompts, isa)
        tap.ok(worst <= 2e-3, f"{path.name} {isa}: logits of the last position within 2e-3 ({worst:.1e})")
        tap.ok(not strays, f"{path.name} {isa}: the same 32 greedy ids", strays)


try:
    import gguf  # noqa: F401
except ImportError as e:
    tap.skip("families as GGUF files", str(e))
    tap.done()
with tempfile.TemporaryDirectory() as scratch:
    for folder in sorted(models.iterdir()):
        if json.loads((folder / "config.json").read_text())["model_type"] in NAMES and folder.name not in NOT_IN_GGUF:
            tap.attempt(family, folder, scratch)
tap.done()
