"""Pictures of the page for people to look at: page_pictures.py FOLDER; doc/*.png are two of them.  No test."""
import os
import random
import sys
import tempfile
import threading

from browser import Browser, Page
from stack import Stack, wait_until
from webservers import installed

QUESTIONS = ["Write a short Python function that reverses a string.", "What is the capital of France?"]


def chat(b, p, out):
    p.reset(max_tokens="200", temperature="0", logprobs=True)
    for question in QUESTIONS:
        p.ask(question)
        p.wait_answer()
    p.click("Tokens")
    p.b.js("document.querySelectorAll('.tokens > span')[5].focus()")
    p.b.js("document.getElementById('transcript').scrollTop = 0")
    for scheme in ("light", "dark"):
        b.scheme(scheme)
        b.driver.save_screenshot(os.path.join(out, f"chat-{scheme}.png"))
    p.click("Request")
    b.driver.save_screenshot(os.path.join(out, "request-dark.png"))
    p.click("Close", "#request")
    b.width(390, 800)
    b.driver.save_screenshot(os.path.join(out, "chat-narrow.png"))
    b.width(1400)


def status(b, s, out):
    stop = threading.Event()

    def load(i):
        while not stop.is_set():
            stop.wait(random.uniform(0, 3))
            s.request("POST", "/v1/chat/completions", {"model": "primary", "messages": [{"role": "user", "content": f"Story {i}: " + "once upon a time " * (30 * i)}],
                                                       "max_tokens": 100 + 60 * i, "ignore_eos": True})
    threads = [threading.Thread(target=load, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    wait_until(lambda: False, 20)       # what all of them asked for at once is not what the percentiles are of
    Page(b, s.url, "/page/status.html")
    wait_until(lambda: False, int(os.environ.get("PICTURE_SECONDS", "40")))
    for scheme in ("light", "dark"):
        b.scheme(scheme)
        b.js("document.getElementById('theme').click(); document.getElementById('theme').click(); document.getElementById('theme').click()")
        wait_until(lambda: False, 1.5)
        b.driver.save_screenshot(os.path.join(out, f"status-{scheme}.png"))
    b.width(390, 800)
    b.driver.save_screenshot(os.path.join(out, "status-narrow.png"))
    stop.set()
    for t in threads:
        t.join()


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        share, _ = installed(os.environ["AIRSTRIP_PLAIN"], folder)
        with Stack("lighttpd", share=share, options=["--max-batch-size", "6"]) as s, Browser() as b:
            b.width(1400, 860)
            chat(b, Page(b, s.url), out)
            b.width(1400, 860)
            status(b, s, out)


if __name__ == "__main__":
    main()
