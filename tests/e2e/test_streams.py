"""Whatever is asked for, a stream put together is the buffered answer: text, reasoning, calls, tokens, log-probabilities, ending and usage.

Random combinations of options, several at once, so that the company differs from one answer to its counterpart.
AIRSTRIP_SEED picks others, AIRSTRIP_STREAMS=N that many of each kind.
"""
import json
import os
import random

from stack import Stack, in_threads
from test_tools import CALLS, THINKING, TOOLS, written
import tap

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
SEED, MANY = int(os.environ.get("AIRSTRIP_SEED", "7")), int(os.environ.get("AIRSTRIP_STREAMS", "36"))
PROMPTS = ["Tell me a story about a robot.", "Hi!", "List three colours.", "Say something in Japanese: \u65e5\u672c\u8a9e \U0001f999", "What is 12 times 3?"]
STOPS = [["."], [" the", " a"], ["\n\n", ", and"], ["e", "zq"], ["\u3002", "\ufffd"], ["ing th", "he"], [" robot who", "robot"]]
TEXTS = ["Let me see.\n" + written(CALLS), written(CALLS), written(CALLS[:1]) + "\nAfter.", "No call at all, \u4f60\u597d \U0001f468\u200d\U0001f469\u200d\U0001f467.",
         "<tool_call>\n{\"name\": \"nobody\"}\n</tool_call> end", "a <tool_ca"]
THOUGHTS = ["Well, let\nme see.\n</think>\n\nParis.", "Only thoughts \u2026 and no end", "So.</think>" + written(CALLS), "\n\n</think>\n\n\U0001f999 a <think> b </think> c"]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "n": {"type": "integer", "minimum": 0, "maximum": 99999}},
          "required": ["city", "n"], "additionalProperties": False}


def sampling(r):
    """Some of the ways to choose tokens."""
    every = {"top_p": r.choice([0, 0.5, 0.95, 1]), "top_k": r.choice([0, 1, 20]), "min_p": r.choice([0, 0.05]), "typical_p": r.choice([0.9, 1]),
             "frequency_penalty": r.choice([-1, 0.5]), "presence_penalty": r.choice([0.5, 2]), "repetition_penalty": 1.2, "mirostat": r.choice([0, 1, 2]),
             "dry_multiplier": 0.8, "xtc_probability": 0.5, "top_n_sigma": 1.5, "logit_bias": {str(r.randrange(1000, 40000)): r.choice([-100, 3, 5.5])}}
    return dict({"temperature": r.choice([0, 0.7, 1, 1.8]), "seed": r.randrange(2 ** 40)}, **{k: every[k] for k in r.sample(sorted(every), r.randrange(4))})


def common(r):
    found = dict(sampling(r), model="primary", n=r.choice([1, 1, 2, 3]), max_tokens=r.randrange(1, 28))
    for key, value in (("stop", r.choice(STOPS)), ("ignore_eos", True), ("min_tokens", 1), ("stop_token_ids", [r.randrange(2, 1000)]), ("user", "u")):
        if r.random() < 0.4:
            found[key] = value
    return found


def chat(r):
    body = dict(common(r), messages=[{"role": "user", "content": r.choice(PROMPTS)}])
    if r.random() < 0.6:
        body.update(logprobs=True, top_logprobs=r.choice([None, 0, 1, 3, 20]))
    if r.random() < 0.15:
        body.update(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, max_tokens=80)
    return CHAT, body


def completion(r):
    body = dict(common(r), prompt=r.choice([r.choice(PROMPTS), PROMPTS[:2]]))
    if r.random() < 0.6:
        body["logprobs"] = r.choice([0, 1, 5])
    if r.random() < 0.3:
        body["echo"] = True
    return COMPLETIONS, body


def calls(r):
    """Texts that are calls, look like some, or are cut within them: laid down, or drawn by a model that must call."""
    path, body = chat(r)
    body.pop("response_format", None)
    body.update(tools=TOOLS, tool_choice=r.choice(["auto", "auto", "none", "required"]), parallel_tool_calls=r.choice([True, False]), max_tokens=r.choice([150, 12, 30]))
    if body["tool_choice"] != "required":
        body["guided_choice"] = [r.choice(TEXTS)]
    if r.random() < 0.2:
        body["stop"] = [r.choice(["days", "\"arg", "</tool", "After"])]
    return path, body


def thoughts(r):
    path, body = calls(r)
    if body["tool_choice"] == "required":
        body["tool_choice"] = "auto"
    body.update(guided_choice=[r.choice(THOUGHTS)], max_tokens=r.choice([200, 200, 3, 9]))
    if r.random() < 0.2:
        body["reasoning_format"] = "none"
    return path, body


def responses(r):
    body = (calls if r.random() < 0.5 else thoughts)(r)[1]
    if r.random() < 0.3:
        for key in ("tools", "tool_choice", "parallel_tool_calls", "guided_choice"):
            body.pop(key, None)
    if body.pop("logprobs", None):
        body["include"] = ["message.output_text.logprobs"]
    body["input"] = body.pop("messages")
    body["max_output_tokens"] = body.pop("max_tokens")
    if "tools" in body:
        body["tools"] = [dict(t["function"], type="function") for t in TOOLS]
    body.pop("n")
    return RESPONSES, {k: v for k, v in body.items() if k != "reasoning_format"}


def items_of(response):
    """Without ids, which are never the same; and what it cost."""
    items = []
    for item in response["output"]:
        content = item.get("content") or []
        items.append((item["type"], item["status"], item.get("name"), item.get("arguments"), [c["text"] for c in content],
                      [t for c in content for t in c.get("logprobs", [])]))
    usage = response["usage"]
    return items, (response["status"], response["incomplete_details"], usage["input_tokens"], usage["output_tokens"], usage["output_tokens_details"])


def streamed_response(body, raw):
    """What the last event says, if the deltas before it say the same."""
    events = [json.loads(f.split("\ndata: ", 1)[1]) for f in raw.decode().split("\n\n") if f.startswith("event: ")]
    last, told = events[-1]["response"], {}
    for e in events:
        if e["type"].endswith(".delta"):
            told[e["output_index"]] = told.get(e["output_index"], "") + e["delta"]
    for i, item in enumerate(last["output"]):
        if told.get(i, "") != (item["arguments"] if item["type"] == "function_call" else "".join(c["text"] for c in item["content"])):
            raise AssertionError(f"the deltas of item {i} say {told.get(i)!r}, not {item} of {body}")
    return items_of(last)


def used(usage):
    """Counts of tokens; not how many were cached, which depends on who came before."""
    return {k: usage[k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")} | {
        "reasoning": usage["completion_tokens_details"]["reasoning_tokens"]}


def listed(logprobs):
    """None where no token is told of."""
    return logprobs if logprobs and (isinstance(logprobs, list) or any(logprobs.values())) else None


def buffered(s, path, body):
    answer = s.request("POST", path, body)
    if answer.status != 200:
        raise AssertionError(f"{answer.status} {answer.body[:300]} of {body}")
    x, found = answer.json(), {}
    if path == RESPONSES:
        return items_of(x)
    for c in x["choices"]:
        m = c.get("message", {})
        legacy = c["logprobs"] if path == COMPLETIONS else None
        found[c["index"]] = {"text": c.get("text", m.get("content")) or "", "reasoning": m.get("reasoning_content", ""), "finish": c["finish_reason"],
                             "calls": [(t["function"]["name"], t["function"]["arguments"]) for t in m.get("tool_calls", [])],
                             "logprobs": listed(legacy or (c["logprobs"] or {}).get("content")), "role": m.get("role")}
    return found, used(x["usage"])


def streamed(s, path, body):
    raw = s.request("POST", path, dict(body, stream=True, **({} if path == RESPONSES else {"stream_options": {"include_usage": True}})))
    if raw.status != 200:
        raise AssertionError(f"{raw.status} {raw.body[:300]} of {body}")
    if path == RESPONSES:
        return streamed_response(body, raw.body)
    frames = [f for f in raw.body.decode().split("\n\n") if f and not f.startswith(":")]
    if frames.pop() != "data: [DONE]":
        raise AssertionError(f"a stream without its end: {raw.body[-300:]} of {body}")
    chunks = [json.loads(f[6:]) for f in frames]
    found = {}
    for x in chunks[:-1]:
        c = x["choices"][0]
        d = c.get("delta", {})
        f = found.setdefault(c["index"], {"text": "", "reasoning": "", "finish": None, "calls": [], "logprobs": None, "role": None})
        if f["finish"]:
            raise AssertionError(f"something behind the end of choice {c['index']} of {body}")
        f["role"] = d.get("role") or f["role"]
        f["text"] += c.get("text") or d.get("content") or ""
        f["reasoning"] += d.get("reasoning_content") or ""
        for t in d.get("tool_calls", []):
            if t["index"] == len(f["calls"]):
                f["calls"].append((t["function"]["name"], ""))
            name, arguments = f["calls"][t["index"]]
            f["calls"][t["index"]] = (name, arguments + t["function"]["arguments"])
        f["finish"] = c["finish_reason"]
        if path == COMPLETIONS and c["logprobs"]:
            have = f["logprobs"] or {k: [] for k in c["logprobs"]}
            f["logprobs"] = {k: have[k] + v for k, v in c["logprobs"].items()}
        elif path == CHAT and c["logprobs"]:
            f["logprobs"] = (f["logprobs"] or []) + c["logprobs"]["content"]
    for f in found.values():
        f["logprobs"] = listed(f["logprobs"])
    return found, used(chunks[-1]["usage"])


def same(s, kind, many):
    r = random.Random(f"{SEED} {kind.__name__}")
    asked = [kind(r) for _ in range(many)]
    wrong, endings = [], set()
    for at in range(0, many, 8):
        some = asked[at:at + 8]
        jobs = [lambda a=a, how=how: how(s, *a) for a in some for how in (buffered, streamed)]
        order = list(range(len(jobs)))
        r.shuffle(order)
        shuffled = dict(zip(order, in_threads([jobs[i] for i in order])))
        for i, (path, body) in enumerate(some):
            whole, stream = shuffled[2 * i], shuffled[2 * i + 1]
            if isinstance(whole, Exception) or whole != stream:
                wrong += [f"POST {path} {json.dumps(body)}", f"  buffered {whole}", f"  streamed {stream}"]
                continue
            endings |= {whole[1][0]} if path == RESPONSES else {c["finish"] for c in whole[0].values()}
    tap.ok(not wrong, f"{kind.__name__}: {many - len(wrong) // 3} of {many} answers are the same buffered and streamed, seed {SEED}", *wrong[:12])
    return endings


def main():
    with Stack("nginx", options=["--max-sequence-length", "512", "--max-choices", "8"]) as s:
        endings = set()
        for kind in (chat, completion, calls):
            endings |= same(s, kind, MANY)
        if MANY >= 36:
            tap.equal(endings, {"stop", "length", "tool_calls"}, "they ended in all ways")
    with Stack("lighttpd", options=["--max-sequence-length", "512", "--chat-template", THINKING]) as s:
        for kind in (thoughts, responses):
            same(s, kind, MANY)
    tap.done()


if __name__ == "__main__":
    main()
