"""The chat page in a real browser, behind lighttpd and nginx, with the real model."""
import json
import os
import re
import subprocess
import sys
import tempfile

from browser import Browser, Page, missing_browser
from stack import SERVERS, SMOLLM2, Stack, wait_until
from webservers import installed
import tap

WEIGHT_BYTES = 300_000
LONG = '{"ignore_eos": true}'
HOSTILE = """# A <img src=x onerror="window.hacked=1"> title

<script>window.hacked = 2</script><img src="x" onerror="window.hacked=3"><svg onload="window.hacked=4"><iframe srcdoc="<script>parent.hacked=5</script>"></iframe>
<style>body { display: none }</style><a href="javascript:window.hacked=6" onclick="window.hacked=7">raw</a>

[click](javascript:window.hacked=8) [data](data:text/html,<script>alert(1)</script>) ![pixel](http://evil.example/leak.png) <http://good.example/>
[title](http://good.example/ "x\\" onmouseover=\\"window.hacked=9")

| a<script>window.hacked=10</script> | b |
|---|--:|
| `<b>` | 2 |

```html" onmouseover="window.hacked=11
</code></pre><script>window.hacked=12</script>
```
"""
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo"]}}, "required": ["city"], "additionalProperties": False}}}]


def choice(text):
    return json.dumps({"structured_outputs": {"choice": [text]}, "max_tokens": 2000})


def headers(s):
    a = s.request("GET", "/")
    csp = a.headers.get("Content-Security-Policy", "")
    tap.ok(a.status == 200 and a.headers.get_content_type() == "text/html", f"{s.server}: / is the page", a.status, dict(a.headers))
    tap.ok("default-src 'none'" in csp and "script-src 'self';" in csp and "unsafe" not in csp and "*" not in csp, "with a strict Content-Security-Policy", csp)
    tap.equal((s.request("GET", "/page/nothing.js").status, s.request("GET", "/page/../../airstrip.conf").status in (400, 404),
               s.request("GET", "/status").status, s.request("GET", "/nothing").headers.get("Content-Type")),
              (404, True, 200, "application/json"), "beside it nothing, and all else is Airstrip's")


def weight(p):
    found = p.b.js("""const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter((e) => !/v1|readyz/.test(e.name));
                      return [all.reduce((n, e) => n + e.encodedBodySize, 0), all.length, performance.getEntriesByName('airstrip-ready')[0].startTime,
                              performance.getEntriesByType('resource').map((e) => e.name).filter((n) => !n.startsWith(location.origin))]""")
    tap.ok(0 < found[0] < WEIGHT_BYTES, f"the page weighs {found[0] / 1000:.0f} kB in {found[1]} files, and can be used after {found[2]:.0f} ms", found)
    tap.equal(found[3], [], "all of it from this server")


def conversation(p):
    p.reset(max_tokens="24")
    p.ask("Name a colour.")
    first = p.wait_answer()
    tap.ok(first.strip(), f"{p.server}: a question is answered", p.text("main"))
    figures = p.text(".message.assistant .figures")
    tap.ok(re.search(r"^\d+ tokens? · .*first token after \d+\.\d\d s · prompt of \d+ tokens", figures), f"with its figures: {figures}")
    tap.ok("tokens/s" in figures, "tokens/s among them", figures)
    p.ask("And another?")
    p.wait_answer()
    tap.equal(p.said(), ["user", "assistant"] * 2, "and the next one")
    asked = p.b.js("return document.getElementById('told').textContent")
    tap.ok(asked.startswith("The answer:"), "a screen reader is told", asked)
    title = p.text("#conversation-list [aria-current]")
    tap.ok(title.startswith("Name a colour."), "it is in the list", title)
    p.b.driver.refresh()
    p.loaded()
    p.until("document.querySelector('#conversation-list .title')")
    p.one("#conversation-list .title").click()
    tap.ok(p.until("document.querySelectorAll('.message').length === 4"), "and there when the page is opened again")
    tap.ok(first.strip() in p.text("#transcript"), "with what was said")


def streams_and_stops(p):
    p.reset(max_tokens="4000", more=LONG)
    p.ask("Tell me a long story.")
    lengths = []
    wait_until(lambda: lengths.append(len(p.answer())) or len(set(lengths)) > 3, 60, 0.05)
    tap.ok(len(set(lengths)) > 3 and p.running, f"{p.server}: an answer grows as it comes", lengths)
    p.one("#stop").click()
    start = p.b.js("return performance.now()")
    free = wait_until(lambda: p.stack.status()["running"] == 0, 10, 0.01)
    tap.ok(free, f"stop frees the slot after {p.b.js('return performance.now()') - start:.0f} ms")
    tap.ok(p.until("!document.getElementById('send').hidden") and "You stopped this answer." in p.text("#transcript"), "and says so")
    p.set(max_tokens="5", more="")
    p.ask("Thanks.")
    p.wait_answer()
    tap.equal(p.said(), ["user", "assistant"] * 2, "the conversation goes on")


def versions(p):
    p.reset(temperature="1", seed="7", max_tokens="16")
    p.ask("Write a word.")
    first = p.wait_answer()
    p.click("Regenerate")
    again = p.wait_answer()
    tap.ok("2 of 2" in p.text(".versions"), f"{p.server}: an answer can be asked for again", p.text("#transcript"))
    tap.equal(again, first, "with one seed it is the same")
    p.set(seed="8")
    p.click("Regenerate")
    other = p.wait_answer()
    tap.ok(other != first and "3 of 3" in p.text(".versions"), "with another it is not", first, other)
    p.click("Version before")
    tap.equal((p.answer(), p.text(".versions").split("\n")[-1] != ""), (again, True), "earlier ones can be seen")
    p.click("Edit", "#transcript article.user")
    field = p.one(".editor textarea")
    field.clear()
    field.send_keys("Write a number.")
    p.click("Send", ".editor")
    p.wait_answer()
    tap.ok("Write a number." in p.text("#transcript") and "2 of 2" in p.text("article.user .versions"), "an edited question is a branch")
    p.click("Version before", "#transcript article.user")
    tap.ok(p.until("document.querySelector('article.user').innerText.includes('Write a word.')"), "beside the first")
    p.click("Branch into a new conversation", "#transcript article.user")
    tap.ok(p.until("document.querySelectorAll('.message').length === 1 && document.querySelectorAll('#conversation-list li').length > 1"),
           "and may become a conversation of its own")


def copies(p):
    p.reset(more=choice("A text\nto **copy**"))
    p.ask("Copy me.")
    p.wait_answer()
    p.click("Copy")
    from selenium.webdriver.common.keys import Keys
    p.one("#prompt").send_keys(Keys.CONTROL, "v")
    tap.equal(p.one("#prompt").get_attribute("value"), "A text\nto **copy**", f"{p.server}: an answer is copied as it was written")
    p.one("#prompt").clear()


def files(p):
    p.one("#export").click()
    found = lambda: [f for f in os.listdir(p.b.home) if f.endswith(".json")]
    tap.ok(wait_until(found, 20), f"{p.server}: a conversation is exported")
    path = os.path.join(p.b.home, found()[0])
    data = json.load(open(path))
    tap.ok(len(data["conversation"]["nodes"]) == 2, "whole", data)
    node = next(n for n in data["conversation"]["nodes"].values() if n["role"] == "assistant")
    node["content"], node["reasoning"] = HOSTILE, "<img src=x onerror='window.hacked=20'>"
    node["calls"] = [{"id": "1", "name": "<b onclick=1>", "arguments": "<script>window.hacked=21</script>"}]
    data["conversation"]["title"] = "<img src=x onerror='window.hacked=22'>"
    json.dump(data, open(path, "w"))
    p.click_js("#new-conversation")
    p.one("#import").send_keys(path)
    tap.ok(p.until("document.querySelector('.call')"), "and imported", p.text("main"))
    harmless(p, "an imported one")
    open(path, "w").write('{"conversation": {"nodes": {"a": {"role": "user", "content": 3}}}}')
    p.one("#import").send_keys(path)
    tap.ok(p.until("document.getElementById('notice').innerText.includes('could not be imported')"), "a damaged file is refused in words", p.text("#notice"))
    os.unlink(path)


def removal(p):
    p.reset(max_tokens="2")
    p.ask("To be deleted.")
    p.wait_answer()
    p.until("document.querySelector('#conversation-list [aria-current]')?.innerText.startsWith('To be deleted.')")
    p.click("Delete To be deleted.", "#conversations")
    p.b.driver.switch_to.alert.accept()
    tap.ok(p.until("!document.getElementById('conversation-list').innerText.includes('To be deleted.') && !document.querySelector('.message')"),
           f"{p.server}: a conversation can be deleted", p.text("#conversation-list"))


def colours(p):
    p.b.scheme("light")
    ground = "getComputedStyle(document.body.parentNode).backgroundColor"
    light = p.b.js("return " + ground)
    p.b.scheme("dark")
    dark = p.b.js("return " + ground)
    p.one("#theme").click()
    tap.ok(light != dark and p.b.js("return " + ground) == light, f"{p.server}: light and dark as the system has it, or as a button says", light, dark)
    p.one("#theme").click()
    p.b.scheme("light")
    tap.equal(p.b.js("return " + ground), dark, "either way")
    p.one("#theme").click()


def harmless(p, what):
    p.until("true")
    found = p.b.js("""const t = document.getElementById('transcript');
        const bad = [...t.querySelectorAll('script, img, svg, iframe, style, object, embed, form:not(.results), link, meta')].map((e) => e.outerHTML);
        for (const e of document.body.querySelectorAll('*')) for (const a of e.attributes)
            if (/^on/i.test(a.name) || (/^(href|src|action|formaction)$/.test(a.name) && !/^(https?:\\/\\/|mailto:|\\.{0,2}\\/|page\\/|#)/.test(a.value))) bad.push(a.name + '=' + a.value);
        t.querySelectorAll('*').forEach((e) => ['mouseover', 'click', 'load', 'error'].forEach((n) => e.tagName !== 'BUTTON' && e.tagName !== 'A' && e.dispatchEvent(new Event(n))));
        return [bad, window.hacked ?? null, performance.getEntriesByType('resource').map((e) => e.name).filter((n) => n.includes('evil'))]""")
    tap.equal(found, [[], None, []], f"{p.server}: hostile output: {what} runs nothing, loads nothing, and adds no elements")


def hostile(p):
    p.reset(more=choice(HOSTILE))
    p.ask("<img src=x onerror='window.hacked=30'>")
    p.wait_answer()
    shown = p.text(".message.assistant .body")
    tap.ok("window.hacked = 2" in shown and "<img src=x onerror=" in shown, f"{p.server}: the model has written markup, and it is shown as text", shown[:800])
    tap.ok(p.all(".message.assistant table") and p.all(".message.assistant pre") and p.all('.message.assistant a[href="http://good.example/"]'),
           "Markdown beside it is rendered", p.b.js("return document.querySelector('.assistant .body').innerHTML")[:1500])
    harmless(p, "an answer")
    p.reset(schema=json.dumps({"const": "<script>window.hacked=40</script><img src=x onerror=window.hacked=41>"}), max_tokens="100")
    p.ask("JSON, please.")
    p.wait_answer()
    harmless(p, "JSON by a schema")


def markdown(p):
    p.reset(more=choice("## Heading\n\nA *list*:\n\n1. one\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nfor i in range(3):\n    print(i)  # say it\n```"))
    p.ask("Show me.")
    p.wait_answer()
    found = p.b.js("""const q = (s) => document.querySelector('.assistant .body ' + s);
                      return [q('h5')?.textContent, document.querySelectorAll('.assistant ol li').length, q('td')?.textContent, q('.token.keyword')?.textContent,
                              q('.code-head span')?.textContent]""")
    tap.equal(found, ["Heading", 2, "1", "for", "python"], f"{p.server}: headings, lists, tables and coloured code")


def probabilities(p):
    p.reset(logprobs=True, max_tokens="8")
    p.ask("Count to five.")
    whole = p.wait_answer()
    p.click("Tokens")
    tap.equal(p.b.js("return [...document.querySelectorAll('.tokens > span')].map((s) => s.textContent).join('')").strip(), whole.strip(), f"{p.server}: an answer by token")
    p.b.js("document.querySelector('.tokens > span').focus()")
    tap.ok(p.until("document.querySelectorAll('.alternatives:not([hidden]) tr').length >= 5"), "a token's alternatives", p.text(".tokens"))
    tap.ok(re.search(r"\d %", p.text(".alternatives")), "with their probabilities", p.text(".alternatives"))
    from selenium.webdriver.common.keys import Keys
    p.b.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    tap.equal(p.b.js("return [...document.querySelectorAll('.tokens > span')].indexOf(document.activeElement)"), 1, "arrow keys go on")
    from selenium.webdriver.common.action_chains import ActionChains
    ActionChains(p.b.driver).move_to_element(p.all(".tokens > span")[3]).perform()
    tap.ok(p.until("document.querySelector('.alternatives:not([hidden]) .chosen')"), "and hovering shows them", p.text(".tokens"))
    axe(p, "tokens")


def schema(p):
    p.reset(schema='{"type": "object", ')
    p.ask("Where?")
    tap.ok("This is not JSON" in p.text("#schema-error") and p.said() == [], f"{p.server}: a schema that is no JSON is told beside its box", p.text("#schema-error"))
    p.one("#prompt").clear()
    p.reset(schema='{"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"], "additionalProperties": false}', max_tokens="60")
    p.ask("Where is the Colosseum?")
    answer = p.wait_answer()
    tap.ok(json.loads(answer)["city"] in ("Paris", "Rome"), "an answer keeps to its schema", answer)


def tools(p):
    p.reset(tools=json.dumps(TOOLS), more='{"tool_choice": "required", "max_tokens": 100}')
    p.ask("What is the weather in Oslo?")
    p.wait_answer()
    tap.ok("get_weather" in p.text(".call") and '"city": "Oslo"' in p.text(".call pre"), f"{p.server}: a tool call is shown", p.text("#transcript"))
    p.set(more="", max_tokens="12")
    p.one(".results textarea").send_keys("Sunny, 21 degrees")
    p.click("Send results", ".results")
    tap.ok(p.wait_answer().strip(), "its result is sent, and answered", p.text("main"))
    tap.equal(p.said(), ["user", "assistant", "tool", "assistant"], "in order")


def request(p):
    p.reset(system="You are 'terse'.", seed="3", top_p="0.9", max_tokens="12", more='{"top_k": 20}')
    p.ask("It's \"quoted\" – and é?")
    shown = p.wait_answer()
    p.click("Request")
    tap.ok(p.until("document.querySelector('dialog').open"), f"{p.server}: the request is shown")
    axe(p, "the request")
    curl, python = (p.b.js("return document.querySelector(arguments[0]).textContent", f"#as-{x} code") for x in ("curl", "python"))
    body = json.loads(subprocess.run(["bash", "-c", curl.replace("curl -N", "printf '%s\\n'")], capture_output=True, text=True).stdout.rpartition("-d\n")[2])
    tap.equal([body.get(x) for x in ("temperature", "top_p", "max_tokens", "seed", "top_k")], [0, 0.9, 12, 3, 20], "with all that was set", body)
    tap.equal([m["role"] for m in body["messages"]], ["system", "user"], "and the messages")
    done = subprocess.run(["bash", "-c", curl.replace("curl -N", "curl -sN")], capture_output=True, text=True, timeout=60)
    text = "".join(json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in done.stdout.splitlines()
                   if line.startswith("data: {") and json.loads(line[6:])["choices"])
    done = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, timeout=60)
    tap.equal(done.returncode, 0, "the Python program runs", done.stderr[-500:])
    p.until("true")
    p.click("Close", "#request")
    p.click_js(".message.assistant footer button")
    tap.equal((plain(text), plain(done.stdout)), (plain(shown),) * 2, "curl and Python get the same answer")


def plain(text):
    return re.sub(r"\W+", " ", text).strip()


def two_tabs(p):
    first = p.b.driver.current_window_handle
    p.reset(max_tokens="300", more=LONG)
    p.ask("The first tab asks.")
    p.b.driver.switch_to.new_window("tab")
    p.b.driver.get(p.url)
    p.loaded()
    p.reset(max_tokens="8")
    p.ask("The second tab asks.")
    tap.ok(p.wait_answer().strip(), f"{p.server}: two tabs: one answers while the other does")
    second = p.b.driver.current_window_handle
    p.b.driver.switch_to.window(first)
    tap.ok(len(p.wait_answer()) > 100, "which comes to its end", p.text("#transcript"))
    tap.ok(p.until("['first', 'second'].every((n) => document.getElementById('conversation-list').innerText.includes(`The ${n} tab`))", 20),
           "both conversations are in the list of each", p.text("#conversation-list"))
    for tab in (second, first):
        p.b.driver.switch_to.window(tab)
        title = "//button[contains(., 'The first tab')]"
        if tab == second:
            p.b.driver.find_element("xpath", title).click()
            p.until("document.querySelectorAll('.message').length === 2")
        p.set(max_tokens="3", more="")
        p.ask("From the second." if tab == second else "From the first.")
        p.wait_answer()
    p.b.driver.refresh()
    p.loaded()
    p.until("document.getElementById('conversation-list').innerText.includes('The first tab')")
    p.b.driver.find_element("xpath", title).click()
    p.until("document.querySelectorAll('.message').length === 4")
    tap.ok("2 of 2" in p.text("#transcript") and "From the first." in p.text("#transcript"), "both go on with one of them, and neither loses a message", p.text("#transcript"))
    p.b.driver.switch_to.window(second)
    p.b.driver.close()
    p.b.driver.switch_to.window(first)


def picker(p):
    tap.equal(p.b.js("return [...document.getElementById('model').options].map((o) => o.value)"), ["primary", "second"], f"{p.server}: the models are listed")
    p.reset()
    p.set(model="second")
    p.ask("Who answers?")
    p.wait_answer()
    written = {m["model"]: m["generated tokens"] for m in p.stack.request("GET", "/status?json").json()["models"]}
    tap.ok(p.text("article.assistant h3") == "second" and written["second"] > 0, "and the chosen one answers", written, p.text("#transcript"))
    p.set(model="primary")


def narrow(p):
    p.b.width(360, 740)
    p.until("document.getElementById('settings').hidden")
    wide = p.b.js("return [document.documentElement.scrollWidth, innerWidth]")
    tap.ok(wide[0] <= wide[1], f"{p.server}: at 360 pixels nothing sticks out", wide)
    axe(p, "narrow")
    p.one("#show-settings").click()
    tap.ok(p.until("!document.getElementById('settings').hidden && document.getElementById('settings').contains(document.activeElement)"), "the settings open over it, with the focus")
    axe(p, "narrow, with settings")
    from selenium.webdriver.common.keys import Keys
    p.b.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    tap.ok(p.until("document.getElementById('settings').hidden && document.activeElement.id === 'show-settings'"), "Escape closes them and gives it back")
    p.b.width(1400)
    tap.ok(p.until("!document.getElementById('settings').hidden"), "wide again they stand beside it")


def axe(p, what):
    for scheme in ("light", "dark"):
        p.b.scheme(scheme)
        found = p.b.axe()
        tap.equal(found, [], f"{p.server}: axe-core finds nothing: {what}, {scheme}")


def everything(server, share, folder, tests):
    options = []
    if picker in tests:
        options = ["--config", os.path.join(folder, "two.conf")]
        with open(options[1], "w") as f:
            f.write(f"[model primary]\nmodel = {SMOLLM2}\n[model second]\nmodel = {SMOLLM2}\n")
    with Stack(server, share=share, options=options) as s, Browser() as b:
        headers(s)
        p = Page(b, s.url)
        p.stack, p.server = s, server
        weight(p)
        for test in tests:
            tap.attempt(test, p)
        tap.equal(b.console(), [], f"{server}: no errors in the console")


def main():
    if not SMOLLM2 or missing_browser():
        tap.skip("the chat page", missing_browser() or "AIRSTRIP_SMOLLM2 is not set")
        tap.done()
    with tempfile.TemporaryDirectory(prefix="airstrip-page-") as folder:
        os.chmod(folder, 0o755)
        share, _ = installed(os.environ["AIRSTRIP_PLAIN"], folder)
        rest = [versions, copies, files, removal, colours, markdown, probabilities, schema, tools, request, two_tabs, narrow]
        for server in SERVERS:
            everything(server, share, folder, [conversation, streams_and_stops, hostile] + (rest if server == "lighttpd" else [two_tabs, picker]))
    tap.done()


if __name__ == "__main__":
    main()
