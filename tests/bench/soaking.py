"""Chat requests of all kinds, mixed by a seeded random generator, with what each must come to."""
import asyncio
import collections
import json
import os
import random
import shutil
import signal
import time

import aiohttp

from drive import CHAT, descriptors, resident_kb, session
from stack import key_line, wait_until

KEY = "sk-soak-0123456789abcdefghijklmnop"
TOOL = {"type": "function", "function": {"name": "pick", "parameters": {
    "type": "object", "properties": {"side": {"enum": ["left", "right"]}, "sure": {"type": "boolean"}},
    "required": ["side", "sure"], "additionalProperties": False}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": {
    "type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}, "b": {"enum": ["x", "y", None]}},
    "required": ["a", "b"], "additionalProperties": False}}}
WORDS = "the a model server answers many questions about soap water time and memory while nobody looks".split()


class Wrong(Exception):
    pass


def expect(condition, *what):
    if not condition:
        raise Wrong(" ".join(str(w) for w in what)[:400])


class Soak:
    """s: a running Stack whose --api-keys is the file `keys` and whose model is the file `model`."""

    def __init__(self, s, keys, model, seed=1, clients=16, exchange=3):
        self.s, self.keys, self.model, self.clients, self.exchange = s, keys, model, clients, exchange
        self.random = random.Random(seed)
        self.counts, self.wrong, self.texts, self.n_turns = collections.Counter(), [], {}, 0
        self.kinds = [(getattr(self, name), weight) for name, weight in (
            ("streamed", 20), ("buffered", 20), ("known", 8), ("tools", 6), ("schema", 6), ("logprobs", 5), ("choices", 5), ("stops", 4),
            ("responses", 4), ("tokens", 2), ("looks", 3), ("bad_json", 2), ("bad_value", 2), ("bad_model", 2), ("bad_schema", 2),
            ("no_key", 2), ("too_long", 2), ("too_large", 0.2), ("leaves_stream", 5), ("leaves_answer", 3))]

    @staticmethod
    def prepare_keys(path, second="second"):
        with open(path, "w") as f:
            f.write(key_line("soak", KEY) + key_line("changing", f"sk-{second}-0123456789abcdefghijklmnop"))

    # --- asking --------------------------------------------------------------------------------
    def chat(self, **more):
        words = " ".join(self.random.choice(WORDS) for _ in range(self.random.randint(1, 60)))
        return dict({"model": "primary", "max_tokens": self.random.randint(1, 24), "temperature": self.random.choice([0, 0.7, 1.3]),
                     "seed": self.random.randint(0, 99), "ignore_eos": True,
                     "messages": [{"role": "user", "content": words}]}, **more)

    async def ask(self, client, body, status=200, path=CHAT, key=KEY):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + key} if key else {})}
        async with client.post(self.s.url + path, data=data, headers=headers) as a:
            text = await a.read()
            expect(a.status == status, "expected", status, "found", a.status, text[:300], "to", data[:300])
            found = json.loads(text)
            if status >= 400:
                expect(found["error"]["message"], "an error without a sentence", text[:300])
            return found

    async def lines(self, client, body, path=CHAT):
        """The data lines of a stream."""
        found = []
        async with client.post(self.s.url + path, json=body, headers={"Authorization": "Bearer " + KEY}) as a:
            expect(a.status == 200, "a stream has status", a.status)
            async for line in a.content:
                if line.startswith(b"data: "):
                    found.append(line[6:].strip())
        return found

    # --- kinds ---------------------------------------------------------------------------------
    async def streamed(self, client):
        found = await self.lines(client, self.chat(stream=True))
        expect(found and found[-1] == b"[DONE]" and any(b'"finish_reason":"length"' in x for x in found), "a stream is not whole", found[-2:])

    async def buffered(self, client):
        body = self.chat()
        usage = (await self.ask(client, body))["usage"]
        expect(usage["completion_tokens"] == body["max_tokens"], usage)

    async def known(self, client):
        i = self.random.randint(0, 9)
        body = self.chat(temperature=0, max_tokens=20, messages=[{"role": "user", "content": f"Question {i}"}])
        text = (await self.ask(client, body))["choices"][0]["message"]
        expect(self.texts.setdefault(i, text) == text, "another text for the same prompt:", text, "before", self.texts[i])

    async def tools(self, client):
        body = self.chat(tools=[TOOL], tool_choice="required", max_tokens=200, temperature=1, ignore_eos=False)
        calls = (await self.ask(client, body))["choices"][0]["message"]["tool_calls"]
        expect(all(set(json.loads(c["function"]["arguments"])) == {"side", "sure"} for c in calls) and calls, "a call's arguments", calls)

    async def schema(self, client):
        body = self.chat(response_format=SCHEMA, max_tokens=200, temperature=1, ignore_eos=False)
        found = json.loads((await self.ask(client, body))["choices"][0]["message"]["content"])
        expect(0 <= found["a"] <= 99 and found["b"] in ("x", "y", None), "not what the schema says", found)

    async def logprobs(self, client):
        body = self.chat(logprobs=True, top_logprobs=3)
        told = (await self.ask(client, body))["choices"][0]["logprobs"]["content"]
        expect(len(told) == body["max_tokens"] and all(len(t["top_logprobs"]) == 3 for t in told), "logprobs", len(told), body["max_tokens"])

    async def choices(self, client):
        expect(len((await self.ask(client, self.chat(n=3)))["choices"]) == 3, "not three choices")

    async def stops(self, client):
        text = (await self.ask(client, self.chat(stop=["e", "\n"])))["choices"][0]["message"]["content"] or ""
        expect("e" not in text and "\n" not in text, "a stop string is shown", text)

    async def responses(self, client):
        found = await self.lines(client, {"model": "primary", "input": "Hello", "stream": True, "max_output_tokens": 16}, "/v1/responses")
        expect(any(b"response.completed" in x or b"response.incomplete" in x for x in found), "a response does not end", found[-1:])

    async def tokens(self, client):
        ids = (await self.ask(client, {"model": "primary", "content": " ".join(WORDS)}, path="/tokenize"))["tokens"]
        expect((await self.ask(client, {"model": "primary", "tokens": ids}, path="/detokenize")), "no text")

    async def looks(self, client):
        for path in ("/metrics", "/status?full", "/health", "/readyz"):
            async with client.get(self.s.url + path, headers={"Authorization": "Bearer " + KEY}) as a:
                expect(a.status == 200 and await a.read(), path, a.status)

    async def bad_json(self, client):
        await self.ask(client, b'{"messages": [', 400)

    async def bad_value(self, client):
        await self.ask(client, self.chat(temperature=9), 400)

    async def bad_model(self, client):
        await self.ask(client, self.chat(model="nobody"), 404)

    async def bad_schema(self, client):
        await self.ask(client, self.chat(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "nothing"}}}), 400)

    async def no_key(self, client):
        await self.ask(client, self.chat(), 401, key=self.random.choice([None, "sk-nobody"]))

    async def too_long(self, client):
        await self.ask(client, self.chat(messages=[{"role": "user", "content": "word " * 3000}]), 400)

    async def too_large(self, client):
        await self.ask(client, self.chat(messages=[{"role": "user", "content": "x" * (3 << 20)}]), 413)

    async def leaves_stream(self, client):
        async with client.post(self.s.url + CHAT, json=self.chat(stream=True, max_tokens=500), headers={"Authorization": "Bearer " + KEY}) as a:
            async for line in a.content:
                if b'"content":"' in line and self.random.random() < 0.3:
                    return

    async def leaves_answer(self, client):
        try:
            await asyncio.wait_for(self.ask(client, self.chat(max_tokens=400, n=2)), self.random.random() * 0.05)
        except asyncio.TimeoutError:
            pass

    # --- turning keys and models ---------------------------------------------------------------
    async def turn(self, client):
        """Another key in the place of one, every so often another file in the place of the model; SIGHUP; who may ask."""
        async with self.turning:
            await self.turn_alone(client)

    async def turn_alone(self, client):
        was, self.n_turns = f"turn{self.n_turns}", self.n_turns + 1
        now = f"turn{self.n_turns}"
        self.prepare_keys(self.keys, now)
        if self.exchange and self.n_turns % self.exchange == 0:
            shutil.copy(self.model, self.model + ".new")
            os.rename(self.model + ".new", self.model)
        before = self.s.read_log().count(" reload ")
        os.kill(self.s.pid, signal.SIGHUP)
        for _ in range(600):
            if self.s.read_log().count(" reload ") > before:
                break
            await asyncio.sleep(0.1)
        await self.ask(client, self.chat(), 200, key=f"sk-{now}-0123456789abcdefghijklmnop")
        await self.ask(client, self.chat(), 401, key=f"sk-{was}-0123456789abcdefghijklmnop")

    # --- running -------------------------------------------------------------------------------
    async def one(self, client, function):
        self.counts[function.__name__] += 1
        try:
            await function(client)
        except (Wrong, aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError, KeyError, TypeError) as e:
            self.wrong.append(f"{function.__name__}: {e!r}"[:500])

    async def part(self, n, turns):
        """n requests by all clients, with `turns` changes of keys among them."""
        functions = self.random.choices([f for f, _ in self.kinds], [w for _, w in self.kinds], k=n)
        at = set(self.random.sample(range(n), min(n, turns)))
        todo = collections.deque(enumerate(functions))
        self.turning = asyncio.Lock()

        async def work(client):
            while todo:
                i, function = todo.popleft()
                if i in at:
                    await self.one(client, self.turn)
                await self.one(client, function)
        async with session() as client:
            await asyncio.gather(*[work(client) for _ in range(self.clients)])

    def rest(self, quiet_s=0):
        """Waits until nothing runs, and so long more; what the server holds then."""
        def idle():
            h = json.loads(self.s.request("GET", "/health", headers={"Authorization": "Bearer " + KEY}).body)["models"][0]
            return h["running"] == h["waiting"] == h["kv_pages_used"] == 0

        def alone():
            page = json.loads(self.s.request("GET", "/status?json", headers={"Authorization": "Bearer " + KEY}).body)
            return page["active processes"] == 1        # that which asks
        settled = wait_until(idle, 60) and wait_until(alone, 60)
        time.sleep(quiet_s)
        return {"settled": settled, "resident_kb": resident_kb(self.s.pid),
                "descriptors": descriptors(self.s.pid), "threads": len(os.listdir(f"/proc/{self.s.pid}/task"))}

    def run(self, n, parts=5, turns=4, tell=lambda line: None, quiet_s=0):
        """The rests between parts; turns: of each part."""
        rests = [self.rest(quiet_s)]
        for i in range(parts):
            begin = time.monotonic()
            asyncio.run(self.part(n // parts, turns))
            took = time.monotonic() - begin
            rests.append(self.rest(quiet_s))
            tell(f"part {i + 1} of {parts}: {n // parts / took:.0f} requests/s, {len(self.wrong)} wrong, {rests[-1]}")
        return rests
