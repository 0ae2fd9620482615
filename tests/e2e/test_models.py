"""Several models as consumer groups, aliases, API keys, a template of the operator's, Takeoff's variables, pings."""
import os
import subprocess
import tempfile

from program import endless
from stack import GEMMA3, SMOLLM2, key_line, program, RawStream, Stack, wait_until
import tap

HI = [{"role": "user", "content": "Hi!"}]


def chat(**more):
    return dict({"model": "primary", "messages": HI, "max_tokens": 4, "temperature": 0}, **more)


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o644)
    return path


def two_groups(folder):
    conf = write(folder, "two.conf", f"""
max_batch_size = 4
[model primary]
model = {SMOLLM2}
aliases = gpt-3.5-turbo, gpt-4o
[model base]
model = {GEMMA3}
max_sequence_length = 1024
""")
    with Stack(model="none", options=["--config", conf]) as s:
        client = s.client()
        tap.equal([m.id for m in client.models.list()], ["primary", "base"], "two groups are two models")
        tap.equal(s.request("GET", "/v1/models/base").json()["max_model_len"], 1024, "each with settings of its own")
        for name in ("primary", "gpt-3.5-turbo", "gpt-4o"):
            answer = s.request("POST", "/v1/chat/completions", chat(model=name))
            tap.equal(answer.status, 200, f"{name} answers", answer.body[:200])
        body = chat()
        del body["model"]
        tap.equal(s.request("POST", "/v1/chat/completions", body).json()["model"], "primary", "no model means primary")
        error = s.request("POST", "/v1/chat/completions", chat(model="other")).json()["error"]
        tap.ok("primary" in error["message"] and "base" in error["message"], "an unknown model's 404 lists the known ones", error)
        answer = s.request("POST", "/v1/chat/completions", chat(model="base"))
        tap.ok(answer.status == 400 and "chat_template" in answer.json()["error"]["message"],
               "a base model without a template says what to configure", answer.body[:300])
        done = client.completions.create(model="base", prompt="The capital of France is", max_tokens=3, temperature=0)
        tap.equal(done.choices[0].text, " the capital of", "and completes text as recorded")
        together = [client.completions.create(model=m, prompt="One two three", max_tokens=3, temperature=0).choices[0].text
                    for m in ("base", "primary")]
        tap.ok(together[0] and together[1], "both groups answer")


def a_template_and_keys(folder):
    template = write(folder, "t.jinja", "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:")
    keys = write(folder, "keys", "# who may ask\n" + "".join(key_line(n, f"secret-{n}-0123456789abcdef") for n in ("one", "two")))
    with Stack(model=GEMMA3, options=["--chat-template-file", template, "--api-keys", keys,
                                      "--max-sequence-length", "512"]) as s:
        tap.equal(s.request("GET", "/livez").status, 200, "liveness needs no key")
        for title, headers in (("no key", {}), ("a wrong key", {"Authorization": "Bearer secret-one-0123456789abcde"}),
                               ("another scheme", {"Authorization": "Basic secret-one-0123456789abcdef"})):
            answer = s.request("POST", "/v1/chat/completions", chat(), headers)
            tap.ok(answer.status == 401 and answer.json()["error"]["code"] == "invalid_api_key"
                   and answer.headers.get("WWW-Authenticate"), f"{title} is 401", answer.status, answer.body[:200])
        for path in ("/v1/models", "/health"):
            tap.equal(s.request("GET", path).status, 401, f"{path} is closed too")
        done = s.client(api_key="secret-two-0123456789abcdef").chat.completions.create(**chat())
        tap.ok(done.usage.prompt_tokens > 5, "the operator's template serves a model that has none, with a key", done)
        tap.ok("secret" not in s.read_log(), "no key is in the log")


def takeoffs_variables():
    env = {"TAKEOFF_MODEL_NAME": SMOLLM2, "TAKEOFF_DEVICE": "cpu", "TAKEOFF_MAX_SEQUENCE_LENGTH": "256",
           "TAKEOFF_CONSUMER_GROUP": "takeoff", "TAKEOFF_MAX_BATCH_SIZE": "3", "TAKEOFF_BATCH_DURATION_MILLIS": "50"}
    with Stack(model="none", env=env) as s:
        tap.equal([m["id"] for m in s.request("GET", "/v1/models").json()["data"]], ["takeoff"], "TAKEOFF_CONSUMER_GROUP")
        tap.equal(s.request("GET", "/v1/models/takeoff").json()["max_model_len"], 256, "TAKEOFF_MAX_SEQUENCE_LENGTH")
        tap.equal(s.status()["max_batch"], 3, "TAKEOFF_MAX_BATCH_SIZE")
        tap.equal(s.request("POST", "/v1/chat/completions", chat(model="takeoff")).status, 200, "and it answers")
    for name, value, word in (("TAKEOFF_DEVICE", "cuda", "CUDA"), ("TAKEOFF_DEVICE", "api", "api"),
                              ("TAKEOFF_MODEL_NAME", "no/such-model", "such-model"), ("TAKEOFF_MAX_BATCH_SIZE", "x", "TAKEOFF")):
        done = subprocess.run([program(), "--check"], env=dict(os.environ, **dict(env, **{name: value})), capture_output=True,
                              text=True, timeout=60)
        tap.ok(done.returncode == 1 and word in done.stderr, f"{name}={value} is refused: {done.stderr.strip()[-140:]}")


def pings_while_silent():
    with Stack(options=["--ping-interval", "300ms", "--max-batch-size", "1"]) as s:
        first = RawStream(s, endless(stream=True))
        first.wait_for(b'"delta":{"content":"')
        second = RawStream(s, chat(stream=True))
        tap.ok(second.wait_for(b": ping", 10), "a stream that waits in the queue is kept alive by comments", second.data)
        tap.ok(b": ok" in second.data and b'"content":"H' not in second.data, "and has its headers, but no text yet")
        first.close()
        tap.ok(second.wait_for(b"data: [DONE]", 30), "then it answers")
        second.close()


def loading_and_check():
    with Stack(ready=False) as s:
        answer = s.request("GET", "/readyz")
        if answer.status == 503:
            body = answer.json()
            tap.ok(body["error"]["code"] == "model_loading" and "load_percent" in body and answer.headers.get("Retry-After"),
                   "while it loads, readiness is 503 with progress", body)
            answer = s.request("POST", "/v1/chat/completions", chat())
            tap.ok(answer.status == 200 or answer.headers.get("Retry-After"), "and requests are told to come again", answer.body)
        else:
            tap.skip("readiness while loading", "it was ready before it could be asked")
        tap.equal(s.request("GET", "/livez").status, 200, "liveness is 200 at once")
        tap.ok(wait_until(lambda: s.request("GET", "/readyz").status == 200, 60), "then it is ready")
    done = subprocess.run([program(), "--check", "--model", SMOLLM2], capture_output=True, text=True, timeout=60)
    tap.equal(done.returncode, 0, "--check of a good configuration", done.stderr)


with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)
    for test, arguments in ((two_groups, (folder,)), (a_template_and_keys, (folder,)), (takeoffs_variables, ()),
                            (pings_while_silent, ()), (loading_and_check, ())):
        tap.attempt(test, *arguments)
tap.done()
