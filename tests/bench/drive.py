"""Chat clients for load: one asyncio loop, aiohttp, any number of streams; and a watch on the server's memory.

Every answer is checked: it must say that it is whole, have the tokens that were asked for, and at temperature 0
the same prompt must always give the same text.
"""
import asyncio
import json
import os
import threading
import time

import aiohttp

CHAT = "/v1/chat/completions"
TIMEOUT_S = 900


def session(connections=0):
    """connections 0: as many as there are requests."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections, force_close=True),
                                 timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def story(i, tokens, **more):
    """The i-th prompt of a few; an answer of exactly so many tokens."""
    return dict({"model": "primary", "temperature": 0, "max_tokens": tokens, "ignore_eos": True, "stream": True,
                 "stream_options": {"include_usage": True},
                 "messages": [{"role": "user", "content": f"Tell me a story about the number {i}."}]}, **more)


class Answers:
    """What came back, of all clients together."""

    def __init__(self):
        self.gaps, self.first, self.refusals, self.lost = [], [], [], []
        self.whole = self.tokens = 0
        self.texts = {}

    def lose(self, why):
        self.lost.append(str(why)[:300])

    def judge(self, body, text, finish, usage):
        if finish != "length" or not usage or usage["completion_tokens"] != body["max_tokens"]:
            self.lose(f"finish_reason {finish}, usage {usage}")
            return
        known = self.texts.setdefault((json.dumps(body["messages"]), body["max_tokens"]), text)
        if known != text:
            self.lose(f"another text: {text[:100]!r}, before {known[:100]!r}")
            return
        self.whole += 1
        self.tokens += usage["completion_tokens"]


async def stream(client, url, body, into):
    """One streamed chat; a refusal is noted with its time and Retry-After, anything else that is not whole is lost."""
    begin = last = time.monotonic()
    text, finish, usage, done = "", None, None, False
    try:
        async with client.post(url + CHAT, json=body) as answer:
            if answer.status != 200:
                error = json.loads(await answer.read())["error"]
                into.refusals.append((answer.status, error["code"], answer.headers.get("Retry-After"), time.monotonic() - begin))
                return
            async for line in answer.content:
                if not line.startswith(b"data: {"):
                    done = done or line.startswith(b"data: [DONE]")
                    continue
                now = time.monotonic()
                chunk = json.loads(line[6:])
                usage = chunk.get("usage") or usage
                for choice in chunk.get("choices", ()):
                    finish = choice["finish_reason"] or finish
                    piece = choice["delta"].get("content")
                    if piece:
                        (into.gaps if text else into.first).append(now - last)
                        last, text = now, text + piece
        if done:
            into.judge(body, text, finish, usage)
        else:
            into.lose("a stream ended without [DONE]")
    except (OSError, aiohttp.ClientError, asyncio.TimeoutError, ValueError, KeyError) as e:
        into.lose(repr(e))


async def hold(url, n, seconds, tokens, prompts=20):
    """n streams at a time, each followed by another, until `seconds` have passed and those that run have ended."""
    into, end = Answers(), time.monotonic() + seconds

    async def keep(client, i):
        await asyncio.sleep(i * min(2.0, seconds / 4) / n)     # not all prompts at the same moment
        while time.monotonic() < end:
            await stream(client, url, story(i % prompts, tokens), into)
            i += n
    async with session() as client:
        await asyncio.gather(*[keep(client, i) for i in range(n)])
    return into


async def arrive(url, per_second, seconds, tokens, prompts=20):
    """Requests that come at a rate, whether or not those before were answered."""
    into, tasks, begin = Answers(), [], time.monotonic()
    async with session() as client:
        for i in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, begin + i / per_second - time.monotonic()))
            tasks.append(asyncio.create_task(stream(client, url, story(i % prompts, tokens), into)))
        await asyncio.gather(*tasks)
    return into


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


class Memory:
    """Resident memory of a process, looked at every so often: [(seconds since the beginning, kB)]."""

    def __init__(self, pid, every_s=0.5):
        self.pid, self.every_s, self.samples, self.over = pid, every_s, [], threading.Event()
        self.begin = time.monotonic()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(self.every_s):
            try:
                self.samples.append((time.monotonic() - self.begin, resident_kb(self.pid)))
            except (OSError, StopIteration):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()

    def growth(self, warm_s):
        """(kB at warm_s, kB at the end, the most from then on)."""
        after = [kb for s, kb in self.samples if s >= warm_s] or [self.samples[-1][1]]
        return after[0], after[-1], max(after)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
