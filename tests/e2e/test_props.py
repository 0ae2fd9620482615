"""GET /props and /slots as llama-server has them: what tools read there is there, and what requests are made of is not."""
import os
import tempfile

from program import Program, chat
from stack import SMOLLM2, key_line, wait_until
import tap

SECRET = "the moon is made of Stilton"
KEYS = {name: f"sk-{name}-0123456789abcdefghijkl" for name in ("alice", "other")}
CONFIG = "[model primary]\ndefault_temperature = 0.6\ndefault_top_k = 40\ndefault_max_tokens = 77\n"
SAMPLING = {"seed", "temperature", "top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "repeat_last_n", "repeat_penalty", "presence_penalty",
            "frequency_penalty", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "mirostat", "mirostat_tau", "mirostat_eta",
            "xtc_probability", "xtc_threshold", "dynatemp_range", "dynatemp_exponent", "samplers", "n_predict", "max_tokens", "ignore_eos", "n_probs",
            "n_keep", "n_discard", "min_keep"}


def get(p, path, key="alice"):
    return p.get(path, key=KEYS.get(key))


def props(p):
    answer = get(p, "/props")
    tap.equal((answer.status, answer.headers["content-type"]), (200, "application/json"), "/props is JSON")
    found = answer.json()
    settings = found["default_generation_settings"]
    tap.equal((settings["n_ctx"], found["total_slots"], found["model_alias"], found["model_path"]), (4096, 2, "primary", os.path.basename(SMOLLM2)),
              "context, places, name and file")
    tap.ok(os.path.dirname(SMOLLM2) not in answer.body.decode(), "but not the folder that it lies in")
    tap.equal([settings["params"][k] for k in ("temperature", "top_k", "top_p", "max_tokens", "n_predict", "seed", "repeat_last_n")],
              [0.6, 40, 1, 77, 77, 2 ** 32 - 1, -1], "the configuration's sampling, and llama-server's words for a random seed and all tokens")
    tap.ok(SAMPLING <= set(settings["params"]), "all its names are there", SAMPLING - set(settings["params"]))
    tap.ok("<|im_start|>" in found["chat_template"] and found["chat_template_caps"]["supports_system_role"] and
           not found["chat_template_caps"]["supports_tools"], "the chat template, and what it knows", found["chat_template_caps"])
    tap.equal((found["bos_token"], found["eos_token"]), ("<|im_start|>", "<|im_end|>"), "tokens that begin and end")
    tap.equal((found["modalities"], found["is_sleeping"], found["endpoint_props"]), ({"vision": False, "video": False, "audio": False}, False, False),
              "text only, awake, read-only")
    tap.ok(found["build_info"].startswith("airstrip "), "and who says so", found["build_info"])


def slots(p):
    idle = get(p, "/slots").json()
    tap.equal([(s["id"], s["n_ctx"], s["is_processing"]) for s in idle], [(0, 4096, False), (1, 4096, False)], "two places, both free")
    body = chat(max_tokens=3900, temperature=0.5, top_k=7, seed=5, stop=[SECRET + "!"], logit_bias={"77": -3.5}, logprobs=True, top_logprobs=2,
                messages=[{"role": "user", "content": "Say that " + SECRET}])
    prompt = p.post(dict(body, max_tokens=1), key=KEYS["alice"]).json()["usage"]["prompt_tokens"]
    held = p.stream(body, key=KEYS["alice"])
    running = lambda: [s for s in get(p, "/slots").json() if s["is_processing"]]  # noqa: E731
    tap.ok(wait_until(lambda: any(s["next_token"][0]["n_decoded"] > 1 for s in running()), 60), "one of them is taken")
    answer = get(p, "/slots")
    one = next(s for s in answer.json() if s["is_processing"])
    tap.equal([one["params"][k] for k in ("temperature", "top_k", "seed", "max_tokens", "ignore_eos", "n_probs")], [0.5, 7, 5, 3900, True, 2],
              "what the request that runs asked for")
    tap.ok(SAMPLING <= set(one["params"]), "under the same names as in /props", SAMPLING - set(one["params"]))
    tap.equal(one["n_prompt_tokens"], prompt, "the length of its prompt")
    tap.ok(one["n_prompt_tokens_cache"] + one["n_prompt_tokens_processed"] == prompt and one["n_prompt_tokens_cache"] > 0,
           "of which a part was cached, as it had been sent before", one)
    decoded = one["next_token"][0]["n_decoded"]
    tap.ok(0 < decoded <= 3900 and one["next_token"][0]["n_remain"] == 3900 - decoded, "how many tokens it has, and may have", one["next_token"])
    tap.ok("Stilton" not in answer.body.decode() and "77" not in one["params"], "but nothing of what it says")
    tap.ok(wait_until(lambda: running()[0]["next_token"][0]["n_decoded"] > decoded, 60), "and it goes on")
    tap.equal([(s["id"], s["id_task"]) for s in running()], [(one["id"], one["id_task"])], "in the same place")
    tap.equal(get(p, "/slots?fail_on_no_slot=1").status, 200, "fail_on_no_slot: one is free")
    second = p.stream(chat(max_tokens=3900), key=KEYS["alice"])
    tap.ok(wait_until(lambda: len(running()) == 2, 60), "another takes the other")
    full = get(p, "/slots?fail_on_no_slot=1")
    tap.equal((full.status, full.json().get("error", {}).get("code")), (503, "server_overloaded"), "fail_on_no_slot: none is")
    both = running()
    tap.equal((len({s["id"] for s in both}), len({s["id_task"] for s in both})), (2, 2), "each in a place of its own")
    for s in (held, second):
        s.close()
    tap.ok(wait_until(lambda: not running(), 20), "who has left is gone from them")


def refusals(p):
    for path in ("/props", "/slots"):
        tap.equal([get(p, path + q, key).status for q, key in (("", None), ("", "other"), ("?model=nobody", "alice"), ("?model=%zz", "alice"),
                                                                ("?model=%70rimary", "alice"), ("?model=&x", "alice"))],
                  [401, 403, 404, 400, 200, 200], f"{path}: keys and models are checked")
        answer = p.post({"n_ctx": 1}, path=path, key=KEYS["alice"])
        tap.equal((answer.status, answer.headers.get("allow")), (405, "GET, HEAD, OPTIONS"), f"{path} cannot be written")


def main():
    if not SMOLLM2:
        tap.skip("/props and /slots", "AIRSTRIP_SMOLLM2 is not set")
        tap.done()
    with tempfile.TemporaryDirectory() as folder:
        keys = os.path.join(folder, "keys")
        with open(keys, "w") as f:
            f.write(key_line("alice", KEYS["alice"]) + key_line("other", KEYS["other"], "models=none-of-ours"))
        with Program("--api-keys", keys, "--max-batch-size", "2", "--max-sequence-length", "4096", config=CONFIG) as p:
            for test in (props, slots, refusals):
                tap.attempt(test, p)
    tap.done()


if __name__ == "__main__":
    main()
