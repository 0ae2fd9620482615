"""The status page in a real browser, while real requests run: charts, slots, facts; with keys; narrow and wide."""
import os
import re
import tempfile

from browser import Browser, Page, missing_browser
from stack import SERVERS, SMOLLM2, RawStream, Stack, key_line, wait_until
from test_page import WEIGHT_BYTES, axe
from webservers import installed
import tap

KEY = "a-key-for-the-page-0123456789abcdef"


def facts(p):
    return dict(p.b.js("return [...document.querySelectorAll('#facts > div')].map((d) => [d.children[0].textContent, d.children[1].textContent])"))


def figure(p, title):
    """The numbers beside a chart, as text."""
    return p.b.js("""return [...document.querySelectorAll('figure')].find((f) => f.querySelector('h3').textContent === arguments[0])
                     ?.querySelector('.values').innerText.replace(/\\s+/g, ' ') ?? ''""", title)


def idle(p):
    tap.ok(p.until("document.querySelectorAll('.slot.free').length === 2"), f"{p.server}: an idle server: two free slots", p.text("main"))
    found = facts(p)
    tap.ok(found["State"] == "ready" and "llama" in found["Weights"] and "M parameters" in found["Weights"] and re.search(r"\w+, \d+ threads?", found["Runs on"]),
           "model and processor", found)
    tap.ok(re.search(r"\d+ MiB|GiB", found["Memory"]) and re.search(r"\d+ (s|min|h)", found["Up for"]) and "pages" in found["Keys and values"], "memory, uptime, pages", found)


def busy(p):
    story = {"model": "primary", "messages": [{"role": "user", "content": "Tell me a story."}], "stream": True, "max_tokens": 4000, "ignore_eos": True}
    held = [RawStream(p.stack, story) for _ in range(3)]
    tap.ok(p.until("document.querySelectorAll('.slot.writing').length === 2 && document.querySelectorAll('.slot.queued').length === 1"),
           f"{p.server}: two generate, one waits: so the picture", p.text("#slots"))
    tap.ok(p.until("/2 of 2 in use, 1 waiting/.test(document.getElementById('slots-text').textContent)"), "and the text", p.text("#slots-text"))
    tap.ok(re.search(r"\d+ \+ \d+ tokens", p.text("#slots")), "with their tokens", p.text("#slots"))
    tap.ok(wait_until(lambda: re.match(r"2 running 1 waiting", figure(p, "Requests")), 20), "the chart's figures", figure(p, "Requests"))
    rate = lambda: float(re.match(r"([\d.,]+) generated", figure(p, "Tokens per second")).group(1).replace(",", ""))
    tap.ok(wait_until(lambda: rate() > 0, 20), f"tokens per second: {figure(p, 'Tokens per second')}")
    tap.ok(wait_until(lambda: "ms half below" in figure(p, "Between tokens"), 20), f"between tokens: {figure(p, 'Between tokens')}")
    tap.ok(wait_until(lambda: re.search(r"m?s half below", figure(p, "Time to first token")), 20), f"time to first token: {figure(p, 'Time to first token')}")
    tap.ok(wait_until(lambda: re.match(r"[\d.]+ % in use", figure(p, "Memory of keys and values")), 20), f"pages: {figure(p, 'Memory of keys and values')}")
    drawn = p.b.js("""return [...document.querySelectorAll('canvas')].map((c) => [c.getAttribute('role'), c.getAttribute('aria-label'),
                      c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x) => x)])""")
    tap.ok(len(drawn) == 6 and all(role == "img" and re.search(r"\d|none", label) and ink for role, label, ink in drawn), "six charts are drawn, and say their figures", drawn)
    axe(p, "status")
    for h in held:
        h.close()
    tap.ok(p.until("document.querySelectorAll('.slot.free').length === 2"), "then they are free", p.text("#slots"))


def narrow(p):
    p.b.width(360, 740)
    wide = p.b.js("return [document.documentElement.scrollWidth, innerWidth]")
    tap.ok(wide[0] <= wide[1], f"{p.server}: at 360 pixels nothing sticks out", wide)
    axe(p, "status, narrow")
    p.b.width(1400)


def gone(p):
    p.stack.stop_program()
    tap.ok(p.until("!document.getElementById('notice').hidden"), f"{p.server}: a server that has ended is told", p.text("#notice"))
    p.stack.spawn()
    p.stack.wait_ready()
    tap.ok(p.until("document.getElementById('notice').hidden && document.querySelectorAll('.slot.free').length === 2"), "and when it is back it goes on")


def keys(server, share, folder, b):
    path = os.path.join(folder, "keys")
    with open(path, "w") as f:
        f.write(key_line("page", KEY))
    with Stack(server, share=share, options=["--api-keys", path]) as s:
        p = Page(b, s.url, "/page/status.html")
        tap.ok(p.until("!document.getElementById('key-form').hidden && document.getElementById('figures').hidden"), f"{server}: without a key it asks for one")
        p.one("#key").send_keys("wrong\n")
        tap.ok(p.until("document.getElementById('notice').innerText.includes('does not know')"), "a wrong one is told", p.text("#notice"))
        p.one("#key").clear()
        p.one("#key").send_keys(KEY + "\n")
        tap.ok(p.until("document.querySelectorAll('.slot').length > 0 && document.getElementById('key-form').hidden"), "the right one opens it", p.text("main"))


def main():
    if not SMOLLM2 or missing_browser():
        tap.skip("the status page", missing_browser() or "AIRSTRIP_SMOLLM2 is not set")
        tap.done()
    with tempfile.TemporaryDirectory(prefix="airstrip-page-") as folder, Browser() as b:
        os.chmod(folder, 0o755)
        share, _ = installed(os.environ["AIRSTRIP_PLAIN"], folder)
        for server in SERVERS:
            with Stack(server, share=share, options=["--max-batch-size", "2"]) as s:
                p = Page(b, s.url, "/page/status.html")
                p.stack, p.server = s, server
                size = b.js("return performance.getEntriesByType('resource').filter((e) => !/status\\?|metrics$/.test(e.name)).reduce((n, e) => n + e.encodedBodySize, 0)")
                tap.ok(0 < size < WEIGHT_BYTES, f"{server}: the page weighs {size / 1000:.0f} kB")
                for test in [idle, busy] + ([narrow] if server == "lighttpd" else []):
                    tap.attempt(test, p)
                tap.equal(b.console(), [], f"{server}: no errors in the console")
                tap.attempt(gone, p)
                b.driver.get("about:blank")     # else it goes on asking a server that is not there
            b.console()     # what failed while the server was gone
        tap.attempt(keys, "lighttpd", share, folder, b)
        tap.equal(b.console(network=False), [], "none but for the requests that failed")
    tap.done()


if __name__ == "__main__":
    main()
