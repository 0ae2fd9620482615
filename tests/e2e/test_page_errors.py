"""What the chat page says when something is in the way: no key, a full queue, a full context, a model that loads, no server."""
import os
import re
import shutil
import tempfile

from browser import Browser, Page, missing_browser
from stack import SERVERS, SMOLLM2, RawStream, Stack, key_line, wait_until
from test_page import axe
from webservers import installed
import tap

KEY = "a-key-for-the-page-0123456789abcdef"
BEARER = {"Authorization": "Bearer " + KEY}
CONTEXT = 2048
TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% if thinks %}<think>\n{% endif %}{% endif %}{# </think> #}")


def notice(p, words, title, seconds=60):
    return tap.ok(wait_until(lambda: words in p.text("#notice"), seconds, 0.03), f"{p.server}: {title}", p.text("#notice"), p.text("#transcript")[-300:])


def key(p):
    notice(p, "asks for an API key", "without a key the page asks for one")
    tap.ok(p.b.js("return document.activeElement.id") == "key", "with the focus in its field")
    p.set(key="a-wrong-key-0123456789abcdef")
    p.ask("Hello")
    tap.ok(wait_until(lambda: not p.running, 20), "a wrong key ends the answer")
    notice(p, "not one that the server knows", "a wrong key is told")
    axe(p, "a wrong key")
    p.set(key=KEY, **{"keep-key": True})
    tap.ok(p.until("document.getElementById('notice').hidden && document.getElementById('model').value === 'primary'"), "the right one opens it", p.text("#notice"))
    p.reset(max_tokens="8")
    p.ask("Hello")
    tap.ok(p.wait_answer().strip(), "and is sent with each request", p.text("main"))
    p.click("Request")
    shown = p.text("#request")
    tap.ok(KEY not in shown and "$AIRSTRIP_API_KEY" in shown, "the request does not show it")
    p.click("Close", "#request")
    p.b.driver.refresh()
    p.loaded()
    tap.ok(p.until("document.getElementById('model').value === 'primary' && document.getElementById('notice').hidden"), "a key that is kept is there the next time")


def held_stream(s):
    """A stream that takes a place, with the key."""
    return RawStream(s, {"model": "primary", "messages": [{"role": "user", "content": "Tell me a story."}], "stream": True, "max_tokens": CONTEXT - 100,
                         "ignore_eos": True}, headers=BEARER)


def counts(s):
    state = s.request("GET", "/health", headers=BEARER).json()["models"][0]
    return state["running"], state["waiting"]


def fill(s):
    """The one place in the batch, then the one in the queue."""
    held = []
    for expected in ((1, 0), (1, 1)):
        held.append(held_stream(s))
        wait_until(lambda: counts(s) == expected, 20)
    return held


def queue(p):
    held = fill(p.stack)
    tap.equal(counts(p.stack), (1, 1), f"{p.server}: one runs, one waits, no more may")
    p.reset(max_tokens="8")
    p.ask("Is there room?")
    notice(p, "The server is busy.", "a full queue is told in words")
    seen = set()
    wait_until(lambda: seen.update(re.findall(r"again in (\d+) s", p.text("#notice"))) or len(seen) > 1 or not p.running, 20, 0.02)
    tap.ok(seen, f"the time until the next try is counted down: {sorted(seen, reverse=True)}", p.text("#notice"))
    tap.ok("1 requests are waiting already" in p.text("#notice") or not p.running, "with the server's number", p.text("#notice"))
    for h in held:
        h.close()
    tap.ok(p.wait_answer().strip(), "and answered as soon as there is room", p.text("main"))
    held = fill(p.stack)
    p.reset(max_tokens="8")
    p.ask("Is there room?")
    notice(p, "The server is busy.", "a full queue again")
    p.one("#stop").click()
    tap.ok(p.until("document.getElementById('notice').hidden && !document.getElementById('send').hidden"), "waiting can be stopped")
    for h in held:
        h.close()


def context(p):
    p.reset(max_tokens="8")
    p.b.js("document.getElementById('prompt').value = 'word '.repeat(5000)")
    p.one("#prompt").send_keys("\n")
    notice(p, "longer than the model can read", "a prompt that is too long is told in words")
    tap.ok(re.search(rf"{CONTEXT} tokens, the prompt has \d+", p.text("#notice")), "with the numbers", p.text("#notice"))
    p.reset(max_tokens="", more='{"ignore_eos": true}')
    p.b.js("document.getElementById('prompt').value = 'word '.repeat(1990)")
    p.one("#prompt").send_keys("\n")
    p.wait_answer()
    tap.ok(f"{CONTEXT} of the {CONTEXT} tokens" in p.text(".end"), "an answer that fills the context says so, with the numbers", p.text("#transcript")[-300:])
    p.reset(max_tokens="5")
    p.ask("Tell me a story.")
    p.wait_answer()
    tap.ok("limit of tokens" in p.text(".end"), "one that reaches its own limit says that", p.text(".end"))


def reasoning(p):
    p.reset(max_tokens="200", more='{"chat_template_kwargs": {"thinks": true}, "structured_outputs": {"regex": "It is <b>so</b>\\\\.\\n</think>\\n\\nYes\\\\."}}')
    p.ask("Is it so?")
    p.wait_answer()
    if tap.ok(p.until("document.querySelector('details.reasoning')", 10), f"{p.server}: reasoning is told apart", p.text("#transcript")):
        tap.ok(not p.b.js("return document.querySelector('details.reasoning').open"), "and folded away")
        p.one("details.reasoning summary").click()
        tap.ok("It is <b>so</b>" in p.text(".reasoning .plain"), "it can be unfolded, as plain text", p.text(".reasoning"))
        axe(p, "reasoning")


def gone(p):
    p.stack.stop_program()
    p.reset(max_tokens="8")
    p.ask("Are you there?")
    notice(p, "cannot reach Airstrip", "a server that has ended is told in words")
    p.stack.spawn()
    p.stack.wait_ready()
    p.click("Try again", "#notice")
    tap.ok(p.wait_answer().strip(), "and when it is back the question is answered", p.text("main"))
    tap.equal(p.said(), ["user", "assistant"], "in the place of the answer that failed")


def lacking(p, share):
    """Libraries that were not there when Airstrip was configured."""
    shutil.rmtree(os.path.join(share, "www", "page", "lib"))
    p.b.driver.get(p.url)
    p.loaded()
    tap.ok("libjs-marked" in p.text("#lacking") and "node-prismjs" in p.text("#lacking"), f"{p.server}: without its libraries the page says what it lacks", p.text("#lacking"))
    p.reset(more='{"structured_outputs": {"choice": ["A **<b>text</b>**"]}}')
    p.ask("Plain, please.")
    tap.equal(p.wait_answer(), "A **<b>text</b>**", "and shows answers as plain text")
    p.b.driver.get(p.url + "/page/status.html")
    tap.ok(p.until("document.getElementById('when').innerText.includes('libjs-chart.js') && !document.querySelector('canvas')"), "the status page has figures alone", p.text("main"))
    bad = [x for x in p.b.console(network=False) if "/page/lib/" not in x]
    tap.equal(bad, [], "and nothing breaks")


def loading(server, share, b):
    """The sanitized build loads slowly enough to look at."""
    with Stack(server, share=share, ready=False, sanitized=True) as s:
        p = Page(b, s.url)
        p.stack, p.server = s, server
        seen = []
        wait_until(lambda: seen.append(p.text("#notice .number")) or s.request("GET", "/readyz").status == 200, 120, 0.02)
        seen = sorted({int(x[:-2]) for x in seen if re.fullmatch(r"\d\d? %", x)})
        if not seen:
            tap.skip(f"{server}: loading", "the model was loaded before the page was")
            return
        tap.ok(seen, f"{server}: while the model loads the page says how far it is: {seen} %")
        p.reset(max_tokens="4")
        p.ask("Hello")
        tap.ok(p.wait_answer(120).strip(), "what is sent meanwhile is answered when it is ready", p.text("main"))
        tap.ok(p.b.js("return document.getElementById('notice').hidden"), "and the notice goes away", p.text("#notice"))


def main():
    if not SMOLLM2 or missing_browser():
        tap.skip("errors on the chat page", missing_browser() or "AIRSTRIP_SMOLLM2 is not set")
        tap.done()
    with tempfile.TemporaryDirectory(prefix="airstrip-page-") as folder:
        os.chmod(folder, 0o755)
        share, _ = installed(os.environ["AIRSTRIP_PLAIN"], folder)
        for name, text in (("keys", key_line("page", KEY)), ("template", TEMPLATE)):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        options = ["--api-keys", os.path.join(folder, "keys"), "--max-batch-size", "1", "--max-queued-requests", "1", "--max-sequence-length", str(CONTEXT),
                   "--chat-template-file", os.path.join(folder, "template")]
        with Browser() as b:
            for server in SERVERS:
                with Stack(server, share=share, ready=False, options=options) as s:
                    wait_until(lambda: s.request("GET", "/readyz").status == 200, 60)
                    p = Page(b, s.url)
                    p.stack, p.server = s, server
                    for test in [key, queue, context, reasoning, gone] if server == "lighttpd" else [key, queue, gone]:
                        tap.attempt(test, p)
                    if server != "lighttpd":
                        tap.equal(b.console(network=False), [], "no errors in the console but for the requests that failed")
                        tap.attempt(lacking, p, share)
            tap.attempt(loading, "lighttpd", share, b)
    tap.done()


if __name__ == "__main__":
    main()
