"""airstrip-probe constrain: many questions at once, over two vocabularies."""
import json
import os
import pathlib
import subprocess

from probe import program, shared

cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "airstrip" / "models"
VOCABULARIES = [pathlib.Path(os.environ.get("AIRSTRIP_SMOLLM2", cache / "SmolLM2-135M-Instruct.Q4_1.gguf")),
                shared / "tokenizers" / "ggml-vocab-llama-spm.gguf"]
INVALID, UNSUPPORTED, LIMIT = -4, -5, -10


def answers(model, requests):
    text = "".join(json.dumps(r) + "\n" for r in requests)
    run = subprocess.run([program, "constrain", model], input=text.encode(), capture_output=True, timeout=300)
    out = [json.loads(line) for line in run.stdout.splitlines()]
    if run.returncode or len(out) != len(requests):
        raise RuntimeError(f"{run.returncode}, {len(out)} answers to {len(requests)} lines: {run.stderr.decode()[-2000:]}")
    return out
