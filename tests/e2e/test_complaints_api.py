"""What users of such servers complain of, each as a test of that name: about bytes, usage, limits, structure, seeds, log-probabilities and choices."""
import json
import math
import os
import re
import tempfile

import openai

import shapes
from program import Program
from stack import SMOLLM2, Stack, in_threads
import tap

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
CONTEXT = 512
ODD = "A \U0001f9d1\u200d\U0001f680 says \u4f60\u597d, \u65e5\u672c\u8a9e and \U0001f468\u200d\U0001f469\u200d\U0001f467! \u00e9\u20ac\U0001f999."
USER = [{"role": "user", "content": "Tell me a story."}]


def ask(**more):
    return dict({"model": "primary", "temperature": 0, "max_tokens": 24, "messages": USER}, **more)


def says(text, **more):
    return ask(**dict({"guided_choice": [text], "max_tokens": 200}, **more))


def events(s, body, path=CHAT):
    """The chunks of a stream, each line of which must be UTF-8 by itself; and whether it ended as it should."""
    raw = s.request("POST", path, dict(body, stream=True)).body
    lines = [line.decode() for line in raw.split(b"\n") if line.startswith(b"data: ")]      # raises where one is none
    return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"], lines and lines[-1] == "data: [DONE]" and raw.endswith(b"\n\n")


def choices(chunks, index=0):
    return [c["choices"][0] for c in chunks if c["choices"] and c["choices"][0]["index"] == index]


def streamed_text(chunks, index=0):
    return "".join(c["delta"].get("content") or "" for c in choices(chunks, index))


def whole(s, body, path=CHAT):
    answer = s.request("POST", path, body)
    if answer.status != 200:
        raise AssertionError(f"{answer.status} {answer.body[:400]}")
    return answer.json()


def text_of(answer):
    return answer["choices"][0]["message"]["content"]


def ids_of(s, text):
    return s.request("POST", "/tokenize", {"content": text, "add_special": False}).json()["tokens"]


def complaint_3_utf8_split_across_tokens(s):
    chunks, ended = events(s, says(ODD))
    n = sum(len(c["delta"].get("content") or "") > 0 for c in choices(chunks))
    tap.ok(streamed_text(chunks) == text_of(whole(s, says(ODD))) == ODD and ended, f"complaint 3: emoji, CJK and joiners in {n} events, each UTF-8")
    wrong, cut = [], 0
    for n in range(1, 40):
        body = says(ODD, max_tokens=n)
        found = text_of(whole(s, body))
        cut += found.endswith("\ufffd")
        if found.rstrip("\ufffd") != ODD[:len(found.rstrip("\ufffd"))] or found.count("\ufffd") > 1 or streamed_text(events(s, body)[0]) != found:
            wrong.append((n, found))
    tap.ok(not wrong and cut > 3, f"complaint 3: cut after 1 to 39 tokens: the beginning, and one U+FFFD for half a character ({cut} times)", *wrong)
    pieces = s.request("POST", "/tokenize", {"content": ODD, "with_pieces": True}).json()["tokens"]
    halves = {bytes(p["piece"]): p["id"] for p in pieces if isinstance(p["piece"], list)}
    inner = next(i for b, i in halves.items() if all(0x80 <= x < 0xc0 for x in b))     # no character begins with it
    prompt = [*ids_of(s, "a"), inner, *ids_of(s, "bc")]
    body = {"model": "primary", "prompt": prompt, "echo": True, "max_tokens": 4, "temperature": 0}
    echo = whole(s, body, COMPLETIONS)["choices"][0]["text"]
    tap.ok(echo.startswith("a\ufffd") and "bc" in echo and "".join(c["choices"][0]["text"] for c in events(s, body, COMPLETIONS)[0]) == echo,
           "complaint 3: bytes that are no text in a prompt: one U+FFFD each, and what follows is not lost", echo)
    body = ask(logit_bias={str(inner): 100}, max_tokens=150, ignore_eos=True)
    chunks, ended = events(s, body)
    deltas = [c["delta"]["content"] for c in choices(chunks) if c["delta"].get("content")]
    tap.ok(set("".join(deltas)) == {"\ufffd"} and len("".join(deltas)) >= 150 and len(deltas) > 3 and ended and "".join(deltas) == text_of(whole(s, body)),
           f"complaint 3: an answer of garbage does not stall the stream ({len(deltas)} events)")


def complaint_6_usage_missing_misplaced_or_unasked(s):
    prompt = s.request("POST", "/apply-template", {"messages": USER}).json()["prompt"]
    n_prompt = len(ids_of(s, prompt))
    bodies = ((CHAT, ask(max_tokens=7, ignore_eos=True), n_prompt), (COMPLETIONS, {"model": "primary", "prompt": "Once upon", "max_tokens": 7,
                                                                                     "ignore_eos": True}, len(ids_of(s, "Once upon"))))
    for path, body, n in bodies:
        used = whole(s, body, path)["usage"]
        tap.equal((used["prompt_tokens"], used["completion_tokens"], used["total_tokens"]), (n, 7, n + 7), f"complaint 6, {path}: buffered, as many as the tokenizer's")
        for options in (None, {}, {"include_usage": False}, {"include_usage": None}):
            chunks, ended = events(s, dict(body, stream_options=options), path)
            tap.ok(ended and all(c["choices"] and "usage" not in c for c in chunks), f"complaint 6, {path}: stream_options {options}: none, and no chunk without choices")
        chunks, ended = events(s, dict(body, stream_options={"include_usage": True}), path)
        last = chunks[-1]
        tap.ok(ended and last["choices"] == [] and all(c["choices"] and c["usage"] is None for c in chunks[:-1]),
               f"complaint 6, {path}: asked for: null in all chunks but the last, which has no choices")
        tap.equal({k: last["usage"][k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")},
                  {k: used[k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")}, f"complaint 6, {path}: the same as buffered")
        refused = s.request("POST", path, dict(body, stream_options={"include_usage": True}))
        tap.equal((refused.status, refused.json()["error"]["param"]), (400, "stream_options"), f"complaint 6, {path}: not without a stream")
    several = whole(s, ask(n=3, max_tokens=5, ignore_eos=True))["usage"]
    tap.equal((several["prompt_tokens"], several["completion_tokens"]), (n_prompt, 15), "complaint 6: a prompt counts once for n choices, each answer by itself")
    natural = whole(s, dict(ask(max_tokens=60, logprobs=True), messages=[{"role": "user", "content": "Hi!"}]))
    tap.equal((natural["choices"][0]["finish_reason"], natural["usage"]["completion_tokens"]), ("stop", len(natural["choices"][0]["logprobs"]["content"]) + 1),
              "complaint 6: the token that ended it counts")


def complaint_10_long_prompt_silently_truncated(s):
    client = s.client()
    word = ids_of(s, " word")[0]
    for stream in (False, True):
        for n, path, body in ((CONTEXT, COMPLETIONS, {"prompt": [word] * CONTEXT}), (None, CHAT, {"messages": [{"role": "user", "content": "word " * 600}]})):
            answer = s.request("POST", path, dict({"model": "primary", "stream": stream}, **body))
            error = answer.json()["error"]
            tap.ok((answer.status, error["code"], answer.headers["Content-Type"]) == (400, "context_length_exceeded", "application/json") and
                   str(CONTEXT) in error["message"] and (n is None or error["message"].count(str(n)) >= 2),
                   f"complaint 10, {path}, stream {stream}: a status, with both numbers", answer.status, error)
    for n in (CONTEXT - 1, CONTEXT - 40):
        body = {"model": "primary", "prompt": [word] * n, "max_tokens": 4000, "temperature": 0, "extra_body": {"ignore_eos": True}}
        done = client.completions.create(**body)
        tap.equal((done.choices[0].finish_reason, done.usage.prompt_tokens, done.usage.total_tokens), ("length", n, CONTEXT),
                  f"complaint 10: a prompt of {n} tokens is whole, and its answer ends where the context does")
        chunks = [c.choices[0] for c in client.completions.create(stream=True, **body)]
        tap.equal(("".join(c.text for c in chunks), chunks[-1].finish_reason), (done.choices[0].text, "length"), "complaint 10: the same streamed")


def complaint_11_structured_output_loops_or_fails_open(s):
    blanks = {i: 40 for text in (" ", "\n", "  ", "\t", "\n\n", " \n", "    ") for i in ids_of(s, text)}
    digits = {ids_of(s, d)[-1]: 40 for d in "0123456789"}
    tied = {"type": "object", "properties": {"answer": {"type": "string", "maxLength": 12}, "n": {"type": "integer"}}, "required": ["answer", "n"],
            "additionalProperties": False}
    apart = {"$defs": {"leaf": {"type": "object", "properties": {"v": {"type": "integer"}}, "required": ["v"], "additionalProperties": False}},
             "type": "array", "items": {"$ref": "#/$defs/leaf"}, "minItems": 2, "maxItems": 2}
    schema = lambda x: {"type": "json_schema", "json_schema": {"name": "a", "schema": x, "strict": True}}  # noqa: E731
    import jsonschema
    for name, bias in (("blanks", blanks), ("digits", digits)):
        for title, x in (("two keys", tied), ("a number", {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"], "additionalProperties": False}),
                         ("$ref", apart)):
            answer = whole(s, ask(response_format=schema(x), max_tokens=400, logit_bias={str(k): v for k, v in bias.items()}))
            ended = answer["choices"][0]["finish_reason"] == "stop"
            tap.ok(ended and jsonschema.Draft202012Validator(x).is_valid(json.loads(text_of(answer))),
                   f"complaint 11: {title}: a model that wants nothing but {name} comes to an end, and fits", answer["choices"])
    found = whole(s, ask(response_format={"type": "json_object"}, max_tokens=1500, logit_bias={str(k): v for k, v in blanks.items()}))
    text = text_of(found)
    runs = re.findall(r"\s+", re.sub(r'"(\\.|[^"\\])*("|$)', "s", text))        # outside of strings
    tap.ok(runs and max(map(len, runs)) <= 24, f"complaint 11: json_object: blanks between values are few ({max(map(len, runs), default=0)} at most)", text[:300])
    for title, more, param in (("an unsupported keyword", {"response_format": schema({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}})},
                                "response_format.json_schema.schema"),
                               ("a grammar that does not parse", {"grammar": "root ::= ("}, "grammar"),
                               ("a $ref to nowhere", {"response_format": schema({"$ref": "#/$defs/none"})}, "response_format.json_schema.schema"),
                               ("an unknown type", {"guided_json": {"type": "thing"}}, "guided_json")):
        for stream in (False, True):
            answer = s.request("POST", CHAT, ask(stream=stream, **more))
            tap.equal((answer.status, answer.json()["error"]["param"]), (400, param), f"complaint 11: {title} is a 400, stream {stream}")


def complaint_17_max_completion_tokens_ignored(s):
    for limits, n in (({"max_completion_tokens": 5}, 5), ({"max_completion_tokens": 5, "max_tokens": 9}, 5), ({"max_completion_tokens": 9, "max_tokens": 5}, 9),
                      ({"max_completion_tokens": None, "max_tokens": 6}, 6)):
        body = {"model": "primary", "messages": USER, "ignore_eos": True, **limits}
        chunks, _ = events(s, dict(body, stream_options={"include_usage": True}))
        answer = whole(s, body)
        tap.equal((answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"], chunks[-1]["usage"]["completion_tokens"]), (n, "length", n),
                  f"complaint 17: {limits}")
    for n in (0, -1):
        refused = s.request("POST", CHAT, {"model": "primary", "messages": USER, "max_completion_tokens": n})
        tap.equal((refused.status, refused.json()["error"]["param"]), (400, "max_completion_tokens"), f"complaint 17: {n} is refused")
    rendered = [s.request("POST", "/apply-template", {"messages": [{"role": role, "content": "Be brief."}, *USER]}).json()["prompt"] for role in ("system", "developer")]
    tap.ok(rendered[0] == rendered[1] and "Be brief." in rendered[0], "complaint 17: a developer's message is a system's where the template knows no other", rendered)
    answers = [text_of(whole(s, ask(messages=[{"role": role, "content": "Answer in one word."}, *USER]))) for role in ("system", "developer")]
    tap.equal(answers[0], answers[1], "complaint 17: and is answered alike")


def seeded(i):
    """One of 16 requests, no two alike in prompt, seed and options."""
    more = ({}, {"temperature": 1.3, "top_k": 40}, {"temperature": 0.9, "top_p": 0.9, "frequency_penalty": 0.5}, {"temperature": 1.0, "min_p": 0.05})[i % 4]
    return dict(ask(max_tokens=20, logprobs=True, ignore_eos=True, seed=100 + i, messages=[{"role": "user", "content": f"Story number {i}: " + "once upon a time " * (i + 4)}]), **more)


def told(answer):
    """What must be the same: the text, and each token with its log-probability, to the last bit."""
    c = answer.json()["choices"][0]
    return c["message"]["content"], [(t["token"], t["logprob"]) for t in c["logprobs"]["content"]]


def complaint_18_same_seed_other_text():
    def alone(p):
        return [told(p.post(seeded(i))) for i in range(16)]

    def together(p):
        return in_threads([lambda i=i: told(p.post(seeded(i))) for i in range(16)])
    runs = {}
    with Program("--max-batch-size", "16") as p:
        runs["alone, cold"] = alone(p)
        runs["alone, warm"] = alone(p)
        runs["16 at once, warm"] = together(p)
        cached = p.post(seeded(3)).json()["usage"]["prompt_tokens_details"]["cached_tokens"]
        tap.ok(cached > 0, f"complaint 18: warm means that {cached} tokens of the prompt are cached")
        several = p.post(dict(seeded(1), n=3)).json()["choices"]
        tap.equal([c["message"]["content"] for c in several], [p.post(dict(seeded(1), seed=101 + i)).json()["choices"][0]["message"]["content"] for i in range(3)],
                  "complaint 18: choice i of n has the text of seed + i")
        tap.ok(len({t for t, _ in runs["alone, cold"]}) == 16, "complaint 18: 16 requests, 16 texts")
        tap.ok(told(p.post(dict(seeded(1), seed=7)))[0] != runs["alone, cold"][1][0], "complaint 18: another seed, another text")
    with Program("--max-batch-size", "16") as p:
        runs["16 at once, cold"] = together(p)
    for name, found in runs.items():
        differ = [i for i in range(16) if found[i] != runs["alone, cold"][i]]
        tap.ok(not differ, f"complaint 18: {name}: the same texts and log-probabilities, temperature 0 and drawn", differ, *(found[i] for i in differ[:2]))


def complaint_19_logprobs(s):
    plain = whole(s, says(ODD))["choices"][0]
    tap.ok(plain["logprobs"] is None, "complaint 19: null where they are not asked for")
    for top in (None, 0, 1, 20):
        body = says(ODD, logprobs=True, top_logprobs=top)
        answer = whole(s, body)
        tokens = answer["choices"][0]["logprobs"]["content"]
        title = f"complaint 19, top_logprobs {top}"
        tap.equal(b"".join(bytes(t["bytes"]) for t in tokens), ODD.encode(), f"{title}: their bytes are the text's")
        tap.ok(any(bytes(t["bytes"]).decode(errors="replace") == t["token"] and "\ufffd" in t["token"] for t in tokens), f"{title}: half a character keeps its bytes")
        tap.equal({len(t["top_logprobs"]) for t in tokens}, {top or 0}, f"{title}: so many alternatives")
        wrong = [t for t in tokens for v in [[a["logprob"] for a in t["top_logprobs"]]]
                 if v != sorted(v, reverse=True) or sum(map(math.exp, v)) > 1.001 or t["logprob"] > 0 or (v and t["logprob"] > v[0])
                 or len({bytes(a["bytes"]) for a in t["top_logprobs"]}) != len(v)]
        tap.ok(not wrong, f"{title}: the likeliest first, all different, none likelier than those before, together 1 at most", *wrong[:2])
        chunks = choices(events(s, body)[0])
        tap.equal([t for c in chunks if c["logprobs"] for t in c["logprobs"]["content"]], tokens, f"{title}: streamed, the same list")
        shapes.check("CreateChatCompletionResponse", answer, title)
    greedy = whole(s, ask(logprobs=True, top_logprobs=20, max_tokens=12))["choices"][0]["logprobs"]["content"]
    tap.ok(all((t["token"], t["logprob"]) == (t["top_logprobs"][0]["token"], t["top_logprobs"][0]["logprob"]) for t in greedy),
           "complaint 19: at temperature 0 the token taken is the first of them")
    banned = whole(s, ask(logprobs=True, top_logprobs=2, max_tokens=3, temperature=1, seed=1, presence_penalty=2, logit_bias={"0": -100}))
    tap.ok(all(t["logprob"] > -10000 for t in banned["choices"][0]["logprobs"]["content"]), "complaint 19: numbers, never infinite")
    for more, param in (({"top_logprobs": 2}, "top_logprobs"), ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"), ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
                        ({"logprobs": False, "top_logprobs": 1}, "top_logprobs"), ({"logprobs": 3}, "logprobs")):
        refused = s.request("POST", CHAT, ask(**more))
        tap.equal((refused.status, refused.json()["error"]["param"]), (400, param), f"complaint 19: {more} is refused")


def complaint_20_n_choices_in_a_stream(s):
    body = ask(n=4, temperature=1.2, seed=11, max_tokens=12)
    buffered = whole(s, body)
    chunks, ended = events(s, body)
    tap.equal([c["choices"][0]["delta"] | {"index": c["choices"][0]["index"]} for c in chunks[:4]],
              [{"role": "assistant", "content": "", "refusal": None, "index": i} for i in range(4)], "complaint 20: the roles come first, index 0 before the others")
    tap.ok(ended and all(len(c["choices"]) == 1 for c in chunks), "complaint 20: one choice a chunk")
    for i in range(4):
        mine = choices(chunks, i)
        tap.ok([c["delta"].get("role") for c in mine] == ["assistant"] + [None] * (len(mine) - 1) and [bool(c["finish_reason"]) for c in mine] == [False] * (len(mine) - 1) + [True],
               f"complaint 20: choice {i}: one role, one end, which comes last", mine)
        same = buffered["choices"][i]
        tap.equal((streamed_text(chunks, i), mine[-1]["finish_reason"]), (same["message"]["content"], same["finish_reason"]), f"complaint 20: choice {i}: the buffered one")
    tap.equal([c["index"] for c in buffered["choices"]], [0, 1, 2, 3], "complaint 20: buffered, in order")
    tap.equal(len({c["message"]["content"] for c in buffered["choices"]}), 4, "complaint 20: each with a seed of its own")
    long, _ = events(s, dict(body, max_tokens=100, ignore_eos=True))
    order = [c["choices"][0]["index"] for c in long if c["choices"][0]["delta"].get("content")]
    tap.ok(order.index(3) < len(order) - 1 - order[::-1].index(0), "complaint 20: they come side by side, not one after the other", order)
    with s.client().chat.completions.stream(**dict(ask(n=3, max_tokens=100), messages=[{"role": "user", "content": "Hi!"}])) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    tap.equal([c.index for c in final.choices], [0, 1, 2], "complaint 20: the client's own accumulator takes them")
    legacy, _ = events(s, {"model": "primary", "prompt": ["a", "b"], "n": 2, "max_tokens": 4, "temperature": 1, "seed": 1}, COMPLETIONS)
    ends = [c["choices"][0]["index"] for c in legacy if c["choices"][0]["finish_reason"]]
    tap.equal(sorted(ends), [0, 1, 2, 3], "complaint 20: completions of two prompts, n = 2: four ends")


def complaint_24_model_name_trouble(folder):
    conf = os.path.join(folder, "models.conf")
    with open(conf, "w") as f:
        f.write(f"max_batch_size = 2\nmax_sequence_length = 256\n[model small]\nmodel = {SMOLLM2}\naliases = gpt-3.5-turbo, llama3.2\n[model other]\nmodel = {SMOLLM2}\n")
    with Stack(model="none", options=["--config", conf]) as s:
        for name, means in (("small", "small"), ("gpt-3.5-turbo", "small"), ("llama3.2", "small"), ("other", "other"), ("primary", "small"), (None, "small"), ("", "small")):
            body = dict(ask(max_tokens=2), model=name)
            tap.equal((whole(s, body)["model"], {c["model"] for c in events(s, body)[0]}), (means, {means}), f"complaint 24: {name!r} is {means}, and answers say so")
        client = s.client()
        for name in ("gpt-99", "Small", "small ", "primary/x"):
            try:
                client.chat.completions.create(**dict(ask(), model=name))
                tap.ok(False, f"complaint 24: {name!r} is unknown")
            except openai.NotFoundError as e:
                tap.ok(e.code == "model_not_found" and "small" in e.message and "other" in e.message, f"complaint 24: {name!r} is a 404 that lists those there are", e)
        tap.equal([m.id for m in client.models.list()], ["small", "other"], "complaint 24: /v1/models")
        tap.equal([client.models.retrieve(m).id for m in ("small", "gpt-3.5-turbo", "primary")], ["small"] * 3, "complaint 24: and each by any of its names")
        tap.equal(s.request("GET", "/v1/models/gpt-99").status, 404, "complaint 24: and no other")


def complaint_25_takeoffs_own_defects(s):
    if shapes.validator("ErrorResponse") is None:
        tap.skip("complaint 25: by the schemas, strictly", "shared/openai/schemas.json is not there")
    answer = whole(s, ask(max_tokens=8))
    choice = answer["choices"][0]
    tap.ok(answer["object"] == "chat.completion" and "text" not in choice and choice["message"]["role"] == "assistant" and choice["message"]["content"] and
           choice["logprobs"] is None and isinstance(answer["usage"]["total_tokens"], int), "complaint 25: a message, null and numbers where Takeoff had none", answer)
    chunks, _ = events(s, ask(max_tokens=8))
    tap.ok({c["object"] for c in chunks} == {"chat.completion.chunk"} and [c["choices"][0]["finish_reason"] for c in chunks] == [None] * (len(chunks) - 1) + ["length"] and
           [("role" in c["choices"][0]["delta"]) for c in chunks] == [True] + [False] * (len(chunks) - 1), "complaint 25: one role, one finish_reason", chunks)
    defects = [dict(answer, object="text_completion"), dict(answer, usage="unknown"), dict(answer, choices=[dict(choice, text="a")]),
               dict(answer, choices=[dict(choice, message=None)]), dict(answer, choices=[dict(choice, logprobs="null")])]
    validator = shapes.validator("CreateChatCompletionResponse")
    if validator:
        tap.ok(validator.is_valid(answer) and not any(validator.is_valid(d) for d in defects), "complaint 25: the check that all answers go through here finds each of them")


def main():
    with Stack("lighttpd", options=["--max-sequence-length", str(CONTEXT)]) as s:
        for test in (complaint_3_utf8_split_across_tokens, complaint_6_usage_missing_misplaced_or_unasked, complaint_10_long_prompt_silently_truncated,
                     complaint_11_structured_output_loops_or_fails_open, complaint_17_max_completion_tokens_ignored, complaint_19_logprobs,
                     complaint_20_n_choices_in_a_stream, complaint_25_takeoffs_own_defects):
            tap.attempt(test, s)
    tap.attempt(complaint_18_same_seed_other_text)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        tap.attempt(complaint_24_model_name_trouble, folder)
    tap.done()


if __name__ == "__main__":
    main()
