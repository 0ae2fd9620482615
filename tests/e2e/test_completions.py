"""POST /v1/completions whole, through the openai client: echo, log-probabilities, many prompts, best_of, streams."""
import json
import math

import openai

from stack import Stack, check_schema
import tap

PROMPTS = ["The capital of France is", "Once upon a time, in a small village,", "caf\u00e9 \u20ac \U0001f600 "]
LISTS = ["tokens", "token_logprobs", "top_logprobs", "text_offset"]


def ids_of(s, text):
    return s.request("POST", "/tokenize", {"content": text}).json()["tokens"]


def lists(choice):
    return [getattr(choice.logprobs, name) for name in LISTS]


def told(tokens):
    """The bytes that tokens of the legacy shape stand for."""
    data = b""
    for t in tokens:
        data += bytes(int(x, 16) for x in t[len("bytes:\\x"):].split("\\x")) if t.startswith("bytes:\\x") else t.encode()
    return data


def check_lists(choice, top, title, prompt_tokens=0):
    tokens, values, tops, offsets = lists(choice)
    tap.ok(len({len(x) for x in (tokens, values, tops, offsets)}) == 1, f"{title}: four lists of one length")
    tap.equal(told(tokens).decode(), choice.text, f"{title}: tokens joined are the text")
    wrong = [i for i, (t, v, d) in enumerate(zip(tokens, values, tops))
             if not (i == 0 and prompt_tokens and v is None and d is None)
             and not (v <= 0 and (top == 0 or (d[t] == v and top <= len(d) <= top + 1 and
                                               sum(map(math.exp, d.values())) < 1.001)))]
    tap.equal(wrong, [], f"{title}: each token is among its alternatives, probabilities sum to 1 at most")
    behind = [len(told(tokens[:i]).decode(errors="ignore")) for i in range(len(tokens))]
    tap.ok(all(0 <= o - b <= 1 for o, b in zip(offsets, behind)), f"{title}: offsets are characters of the text", offsets)


def joined(chunks, n):
    """What the choices of a stream come to: text, lists and finish of each."""
    out = [{"text": "", "finish": [], "lists": [[], [], [], []]} for _ in range(n)]
    for c in chunks:
        for choice in c.choices:
            o = out[choice.index]
            o["text"] += choice.text
            o["finish"] += [choice.finish_reason] if choice.finish_reason else []
            for have, more in zip(o["lists"], lists(choice) if choice.logprobs else []):
                have += more
    return out


def echoes(s, client):
    for prompt in PROMPTS:
        title = f"echo of {prompt!r}"
        ask = dict(model="primary", prompt=prompt, temperature=0, logprobs=2)
        plain = client.completions.create(max_tokens=12, **ask)
        whole = client.completions.create(max_tokens=12, echo=True, **ask)
        n = whole.usage.prompt_tokens
        tap.equal(whole.choices[0].text, prompt + plain.choices[0].text, f"{title}: the prompt, then the answer")
        check_lists(plain.choices[0], 2, title + ", without it")
        check_lists(whole.choices[0], 2, title, prompt_tokens=n)
        tap.equal([x[n:] for x in lists(whole.choices[0])[:3]], [list(x) for x in lists(plain.choices[0])[:3]],
                  f"{title}: the answer's log-probabilities are the same")
        tap.equal(whole.choices[0].logprobs.token_logprobs[0], None, f"{title}: the first has none")
        scored = client.completions.create(max_tokens=0, echo=True, **ask)
        tap.equal((scored.choices[0].text, scored.choices[0].finish_reason, scored.usage.completion_tokens),
                  (prompt, "length", 0), f"{title}: max_tokens 0 gives the prompt alone")
        tap.equal(lists(scored.choices[0]), [x[:n] for x in lists(whole.choices[0])], f"{title}: with the same values")
        stream = list(client.completions.create(max_tokens=12, echo=True, stream=True, **ask))
        got = joined(stream, 1)[0]
        tap.equal((got["text"], got["lists"], got["finish"]),
                  (whole.choices[0].text, lists(whole.choices[0]), [whole.choices[0].finish_reason]),
                  f"{title}: streamed, the same")
        body = json.loads(whole.model_dump_json(exclude_unset=True))
        for name in LISTS:  # the first token's nulls are OpenAI's own, and not in its schema
            del body["choices"][0]["logprobs"][name][0]
        check_schema("CreateCompletionResponse", body, f"{title}: OpenAI's shape")
    bare = client.completions.create(model="primary", prompt=PROMPTS[0], max_tokens=0, echo=True)
    tap.equal((bare.choices[0].text, bare.choices[0].logprobs), (PROMPTS[0], None), "echo without logprobs")


def scores_are_those_of_generation(s, client):
    """What was generated, given back as a prompt of token ids, is as likely as it was then."""
    ask = dict(model="primary", prompt=PROMPTS[1], max_tokens=40, temperature=1, seed=5, logprobs=1)
    first = client.completions.create(**ask).choices[0]
    ids = ids_of(s, PROMPTS[1] + first.text)
    again = client.completions.create(model="primary", prompt=ids, max_tokens=0, echo=True, logprobs=1).choices[0]
    n = len(ids_of(s, PROMPTS[1]))
    tap.equal(again.text, PROMPTS[1] + first.text, "a prompt of ids comes back as text")
    pairs = list(zip(again.logprobs.tokens[n:], again.logprobs.token_logprobs[n:],
                     first.logprobs.tokens, first.logprobs.token_logprobs))
    same = [p for p in pairs if p[0] == p[2]]
    tap.ok(len(same) == len(pairs) >= 20, f"it is cut into the same tokens ({len(same)} of {len(pairs)})")
    worst = max(abs(a - b) for _, a, _, b in same)
    tap.ok(worst < 0.1, f"and they are as likely as when they were generated (within {worst:.2g})")
    cached = client.completions.create(model="primary", prompt=ids, max_tokens=0, echo=True, logprobs=1).choices[0]
    tap.equal(lists(cached), lists(again), "the same again, with the prompt cached")


def many_prompts(s, client):
    both = [(PROMPTS, "strings"), ([ids_of(s, p) for p in PROMPTS], "arrays of ids")]
    alone = [client.completions.create(model="primary", prompt=p, max_tokens=8, temperature=1, seed=9, n=2, logprobs=1)
             for p in PROMPTS]
    for prompts, what in both:
        ask = dict(model="primary", prompt=prompts, max_tokens=8, temperature=1, seed=9, n=2, logprobs=1)
        whole = client.completions.create(**ask)
        tap.equal([c.index for c in whole.choices], list(range(6)), f"{what}: n = 2 of 3 prompts, indices in order")
        tap.equal([c.text for c in whole.choices], [c.text for a in alone for c in a.choices],
                  f"{what}: each answer is that of its prompt alone")
        tap.equal(whole.usage.prompt_tokens, sum(len(ids_of(s, p)) for p in PROMPTS), f"{what}: each prompt counts once")
        tap.equal(whole.usage.completion_tokens, sum(a.usage.completion_tokens for a in alone), f"{what}: all tokens count")
        chunks = list(client.completions.create(stream=True, stream_options={"include_usage": True}, **ask))
        got = joined(chunks, 6)
        tap.equal([(g["text"], g["finish"], g["lists"]) for g in got],
                  [(c.text, [c.finish_reason], lists(c)) for c in whole.choices], f"{what}: streamed, each at its index")
        tap.ok(not chunks[-1].choices and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
               and all(c.usage is None for c in chunks[:-1]), f"{what}: usage in the last chunk only")


def best_of(s, client):
    ask = dict(model="primary", prompt=PROMPTS[0], max_tokens=6, temperature=1.2, seed=40)
    every = client.completions.create(n=8, logprobs=1, **ask)

    def mean(choice):
        return sum(choice.logprobs.token_logprobs) / max(1, len(choice.logprobs.token_logprobs))
    ranked = sorted(every.choices, key=mean, reverse=True)
    tap.ok(mean(ranked[0]) > mean(ranked[-1]) + 0.1, "eight answers are not equally likely")
    best = client.completions.create(n=2, best_of=8, **ask)
    tap.equal([c.text for c in best.choices], [c.text for c in ranked[:2]], "best_of 8: the two likeliest by token, in order")
    tap.equal([c.index for c in best.choices], [0, 1], "best_of: indices of what is told")
    tap.equal([c.logprobs for c in best.choices], [None, None], "best_of: no log-probabilities unasked")
    tap.equal(best.usage.completion_tokens, every.usage.completion_tokens, "best_of: all that was generated counts")
    two = client.completions.create(n=1, best_of=4, logprobs=0, **dict(ask, prompt=PROMPTS[:2]))
    tap.equal([c.index for c in two.choices], [0, 1], "best_of of two prompts: one answer each")
    tap.equal(two.usage.prompt_tokens, sum(len(ids_of(s, p)) for p in PROMPTS[:2]), "best_of: prompts count once")


def refusals(client):
    for param, more in [("best_of", {"best_of": 3, "stream": True}), ("best_of", {"best_of": 2, "n": 3}),
                        ("suffix", {"suffix": " end"}), ("logprobs", {"logprobs": 6}), ("prompt", {"prompt": []}),
                        ("prompt", {"prompt": [[10 ** 7]]}), ("min_tokens", {"extra_body": {"min_tokens": 17}})]:
        try:
            client.completions.create(**dict({"model": "primary", "prompt": "a"}, **more))
            tap.ok(False, f"refused: {more}")
        except openai.BadRequestError as e:
            tap.ok(e.param == param and param in str(e), f"refused, and the message names it: {more}", e)
    tap.ok(client.completions.create(model="primary", prompt="a", suffix=None, best_of=None, logprobs=None, echo=None,
                                     n=None, max_tokens=None).usage.completion_tokens <= 16, "null is absent, 16 tokens the default")


with Stack("nginx", options=["--max-choices", "32"]) as s:
    client = s.client()
    echoes(s, client)
    scores_are_those_of_generation(s, client)
    many_prompts(s, client)
    best_of(s, client)
    refusals(client)
tap.done()
