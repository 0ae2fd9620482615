"""Clients that say how long they wait: work for those who have left ends, also where the web server does not tell of it."""
import time

import openai

from program import chat, endless
from stack import SMOLLM2, RawStream, Stack, wait_until
import tap

SAID = "x-stainless-read-timeout"


def hold(s):
    """The only place in the batch is taken for a long time."""
    held = RawStream(s, endless(stream=True))
    held.wait_for(b'"delta":{"content":"')
    return held


def idle(s):
    return wait_until(lambda: (s.status()["running"], s.status()["waiting"]) == (0, 0), 30)


def asked(**more):
    """chat() as the client takes it."""
    body = chat(**more)
    return dict(body, extra_body={"ignore_eos": body.pop("ignore_eos")})


def code(error):
    return (error.body or {}).get("code") if isinstance(error.body, dict) else None


def in_the_queue(s):
    client = s.client(max_retries=0)
    held = hold(s)
    start = time.monotonic()
    try:
        client.chat.completions.create(**asked(), extra_headers={SAID: "1.0"})
        tap.ok(False, "a request in the queue whose client waits a second")
    except openai.APIStatusError as e:
        tap.ok(e.status_code == 504 and code(e) == "deadline_exceeded" and "1000 ms" in str(e) and time.monotonic() - start >= 0.9,
               "a request in the queue whose client waits a second is answered 504 then", e.status_code, e.body, time.monotonic() - start)
    try:
        for _ in client.chat.completions.create(**asked(stream=True), extra_headers={SAID: "1.0"}):
            pass
        tap.ok(False, "a stream in the queue")
    except openai.APIError as e:
        tap.equal(code(e), "deadline_exceeded", "a stream in the queue ends with an error event")
    try:
        client.embeddings.create(model="primary", input="a text", extra_headers={SAID: "1.0"})
        tap.ok(False, "embeddings in the queue")
    except openai.APIStatusError as e:
        tap.equal((e.status_code, code(e)), (504, "deadline_exceeded"), "and so are embeddings")
    tap.ok(wait_until(lambda: s.status()["waiting"] == 0, 10), "nothing of them is left in the queue", s.status())
    try:
        s.client(max_retries=0, timeout=1.5).chat.completions.create(**asked())
        tap.ok(False, "the real client with a timeout of its own")
    except (openai.APITimeoutError, openai.APIStatusError) as e:     # whoever is first on a busy machine
        tap.ok(not isinstance(e, openai.APIStatusError) or e.status_code == 504, "the client that has a timeout says so by itself", e)
    tap.ok(wait_until(lambda: s.status()["waiting"] == 0, 10), "and its request is gone too")
    tap.equal(s.status()["running"], 1, "the one that runs goes on")
    held.close()
    tap.ok(idle(s), "until its client leaves")


def while_it_runs(s):
    client = s.client(max_retries=0)
    try:
        client.chat.completions.create(**asked(max_tokens=6000), extra_headers={SAID: "1"})
        tap.ok(False, "a long answer in one piece")
    except openai.APIStatusError as e:
        tap.equal((e.status_code, code(e)), (504, "deadline_exceeded"), "a long answer in one piece is given up in the middle")
    tap.ok(idle(s), "and its place is free", s.status())
    start = time.monotonic()
    stream = client.chat.completions.create(**asked(stream=True, max_tokens=8000, temperature=1, seed=1), extra_headers={SAID: "2"})
    for chunk in stream:
        if time.monotonic() - start > 3:
            break
    tap.ok(not chunk.choices[0].finish_reason, "a stream whose client hears something all the time is not", chunk)
    stream.close()
    tap.ok(idle(s), "its client has left")
    for said in ("", "junk", "-1", "0", "nan", "inf", "1e400", "0.0s", "9" * 400):
        a = s.request("POST", "/v1/chat/completions", chat(), {SAID: said})
        if a.status != 200:
            tap.ok(False, f"{said!r} says nothing", a.status, a.body)
    tap.ok(True, "what is no number of seconds is disregarded")


def of_the_operator():
    with Stack("lighttpd", options=["--request-timeout", "1s", "--max-batch-size", "1"]) as s:
        a = s.request("POST", "/v1/chat/completions", endless())
        tap.equal((a.status, a.json()["error"]["code"], "1000 ms" in a.json()["error"]["message"]), (504, "deadline_exceeded", True),
                  "request_timeout: 504")
        stream = RawStream(s, endless(stream=True))
        while stream.read_some():
            pass
        tap.ok(b'"deadline_exceeded"' in stream.data and b"[DONE]" not in stream.data, "request_timeout: streams too, by an event",
               stream.data[-300:])


if not SMOLLM2:
    tap.skip("deadlines", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
with Stack("lighttpd", options=["--max-batch-size", "1", "--max-sequence-length", "8192"]) as stack:
    tap.attempt(in_the_queue, stack)
    tap.attempt(while_it_runs, stack)
tap.attempt(of_the_operator)
tap.done()
