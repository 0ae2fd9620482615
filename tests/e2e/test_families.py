"""Every family with recorded greedy tokens through the front door: the same text buffered and streamed, alone and beside the
others; and the makers' suggestions of how tokens are chosen."""
import json
import os
import pathlib
import shutil
import tempfile

from stack import TOP, Stack, in_threads
import tap

OWN = pathlib.Path(TOP) / "tests" / "data" / "models"
SHARED = pathlib.Path(os.environ.get("AIRSTRIP_SHARED", pathlib.Path(TOP).parent / "shared")) / "golden" / "models"
FOLDERS = [f for top in (OWN, SHARED) if top.is_dir() for f in sorted(top.iterdir()) if (f / "expected.json").exists()]
AT_ONCE = 8  # models of one server


def ask(s, name, prompt, **more):
    body = {"model": name, "prompt": prompt["ids"], "max_tokens": len(prompt["greedy_ids"]), "temperature": 0, "ignore_eos": True}
    return s.request("POST", "/v1/completions", dict(body, **more))


def buffered(s, name, prompt):
    answer = ask(s, name, prompt)
    return answer.json()["choices"][0]["text"] if answer.status == 200 else answer.body


def streamed(s, name, prompt):
    answer = ask(s, name, prompt, stream=True)
    events = [line[6:] for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    if not events or events[-1] != "[DONE]":
        return answer.body
    return "".join(c["text"] for e in events[:-1] for c in json.loads(e)["choices"])


def texts(prompt):
    """Recorded bytes as text; a tokenizer of words puts no space before the first one."""
    text = bytes.fromhex(prompt["greedy_bytes_hex"]).decode("utf-8", "replace")
    return {text, text.removeprefix(" "), prompt.get("greedy_text", text)}


def check(what, found, prompts):
    wrong = [(p["name"], f, sorted(texts(p))) for f, p in zip(found, prompts) if f not in texts(p)]
    tap.ok(not wrong, what, *wrong[:2])


def several(folders, scratch):
    conf = scratch / "families.conf"
    conf.write_text("max_batch_size = 8\nthreads = 2\n" + "".join(f"[model {f.name}]\nmodel = {f}\n" for f in folders))
    conf.chmod(0o644)
    prompts = {f.name: json.loads((f / "expected.json").read_text())["prompts"] for f in folders}
    with Stack(model="none", options=["--config", str(conf)]) as s:
        for name, some in prompts.items():
            check(f"{name}: buffered, alone: the recorded text", [buffered(s, name, p) for p in some], some)
            check(f"{name}: streamed, alone: the same", [streamed(s, name, p) for p in some], some)
        jobs = [(how, name, p) for name, some in prompts.items() for p in some for how in (buffered, streamed)]
        found = in_threads([lambda j=j: j[0](s, j[1], j[2]) for j in jobs])
        for name in prompts:
            mine = [(f, j[2]) for f, j in zip(found, jobs) if j[1] == name]
            check(f"{name}: in a batch: the same", [f for f, _ in mine], [p for _, p in mine])


def suggestions(scratch):
    folder = scratch / "suggesting"
    shutil.copytree(OWN / "phi", folder)
    folder.chmod(0o755)
    wanted = {"temperature": 0.7, "top_p": 0.8, "top_k": 5, "repetition_penalty": 1.3}
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 0, **wanted}))
    plain = {"temperature": 1, "top_p": 1, "top_k": 0, "repetition_penalty": 1}

    def text(s, **more):
        body = {"prompt": [5, 6, 7], "max_tokens": 40, "seed": 7, "ignore_eos": True}
        return s.request("POST", "/v1/completions", dict(body, **more)).json()["choices"][0]["text"]

    with Stack(model=str(folder)) as s:
        tap.equal(text(s), text(s, **wanted), "generation_config.json says how tokens are chosen where a request does not")
        tap.ok(text(s) != text(s, **plain), "and a request has the last word")
    with Stack(model=str(folder), options=["--default-temperature", "1.9", "--default-top-k", "0"]) as s:
        tap.equal(text(s), text(s, **dict(wanted, temperature=1.9, top_k=0)), "the operator's keys come before the makers'")


with tempfile.TemporaryDirectory() as top:
    os.chmod(top, 0o755)
    for i in range(0, len(FOLDERS), AT_ONCE):
        tap.attempt(several, FOLDERS[i:i + AT_ONCE], pathlib.Path(top))
    if not SHARED.is_dir():
        tap.skip("families of the recorded models", f"no {SHARED}")
    tap.attempt(suggestions, pathlib.Path(top))
tap.done()
