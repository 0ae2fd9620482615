"""Debian's Chromium, driven by Selenium, and the page of conf/www in it.

    with Browser() as b:
        page = Page(b, stack.url)
        page.ask("Hello"); page.wait_answer()

The browser finds no host but this one, so a page that asks others for anything fails.
"""
import os
import shutil
import tempfile

from webservers import wait_until

LOADED = "return document.documentElement.dataset.ready === 'true'"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def missing_browser():
    """Why there is none here, or None."""
    for name in ("chromium", "chromedriver"):
        if not shutil.which(name):
            return f"{name} is not installed"
    try:
        import axe_core_python  # noqa: F401
        import selenium  # noqa: F401
    except ImportError as e:
        return str(e)
    return None


class Browser:
    def __init__(self, dark=False):
        self.home = tempfile.mkdtemp(prefix="airstrip-browser-")
        self.dark = dark

    def __enter__(self):
        from selenium import webdriver
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
                         "--disable-background-networking", "--disable-component-update", "--window-size=1400,900",
                         "--user-data-dir=" + os.path.join(self.home, "profile"),
                         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"):
            options.add_argument(argument)
        if self.dark:
            options.add_argument("--force-dark-mode")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        env = dict(os.environ, HOME=self.home)
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"), env=env)
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(60)
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": self.home})
        return self

    def __exit__(self, *exc):
        self.driver.quit()
        shutil.rmtree(self.home, ignore_errors=True)

    def js(self, script, *args):
        return self.driver.execute_script(script, *args)

    def console(self, network=True):
        """What the console has said since it was last asked; network=False: but for failed requests."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] == "SEVERE" and (network or entry["source"] != "network")]

    def width(self, wide, high=900):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": wide, "height": high, "deviceScaleFactor": 1,
                                                                           "mobile": wide < 600})

    def scheme(self, name):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})

    def axe(self):
        """Violations that axe-core finds, in words."""
        import axe_core_python
        with open(os.path.join(os.path.dirname(axe_core_python.__file__), "axe.min.js"), encoding="utf-8") as f:
            self.js(f.read())
        found = self.driver.execute_async_script(
            "const done = arguments[1]; axe.run(document, { runOnly: arguments[0] }).then((r) => done(r.violations), (e) => done(String(e)))", RULES)
        if isinstance(found, str):
            return [found]
        return [f"{v['id']} ({v['impact']}): {node['html'][:150]} {node.get('failureSummary', '')[:300]}" for v in found for node in v["nodes"]]


class Page:
    def __init__(self, browser, url, path="/"):
        self.b, self.url = browser, url
        self.b.driver.get(url + path)
        self.loaded()

    def loaded(self):
        if not wait_until(lambda: self.b.js(LOADED), 30, 0.05):
            raise RuntimeError(f"the page did not begin: {self.b.console()}")

    def one(self, css):
        from selenium.webdriver.common.by import By
        return self.b.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css):
        from selenium.webdriver.common.by import By
        return self.b.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css):
        return self.b.js("return document.querySelector(arguments[0])?.innerText ?? ''", css)

    def until(self, script, seconds=60):
        return wait_until(lambda: self.b.js("return " + script), seconds, 0.03)

    # --- the chat --------------------------------------------------------------------------------
    def set(self, **settings):
        """Fields of the settings, by their ids."""
        for name, value in settings.items():
            self.b.js("""const f = document.getElementById(arguments[0]);
                         if (f.type === 'checkbox') f.checked = arguments[1]; else f.value = arguments[1];
                         f.dispatchEvent(new Event('input', { bubbles: true })); f.dispatchEvent(new Event('change', { bubbles: true }))""", name, value)

    def reset(self, **settings):
        """A new conversation with these settings alone."""
        self.click_js("#new-conversation")
        self.set(**dict({"system": "", "temperature": "0", "top_p": "", "max_tokens": "12", "seed": "", "logprobs": False, "schema": "", "tools": "",
                         "more": ""}, **settings))

    def click_js(self, css):
        self.b.js("document.querySelector(arguments[0]).click()", css)

    def click(self, label, within="#transcript article:last-of-type"):
        """The button with this text or name; a real click."""
        for button in self.all(within + " button"):
            if label in (button.text, button.get_attribute("aria-label")):
                self.b.js("arguments[0].scrollIntoView({ block: 'center' })", button)
                button.click()
                return
        raise RuntimeError(f"no button {label!r} in {within}")

    def ask(self, text):
        self.one("#prompt").send_keys(text + "\n")

    @property
    def running(self):
        return self.b.js("return !document.getElementById('stop').hidden")

    def wait_answer(self, seconds=60):
        """What the last answer says, when it is done."""
        if not wait_until(lambda: not self.running, seconds, 0.03):
            raise RuntimeError("no end of the answer: " + self.text("#transcript")[-500:])
        return self.answer()

    def answer(self):
        return self.b.js("""const b = [...document.querySelectorAll('.message.assistant .body')].pop()?.cloneNode(true);
                            b?.querySelectorAll('.code-head, details, .end').forEach((e) => e.remove()); return b?.textContent ?? ''""")

    def said(self):
        return self.b.js("return [...document.querySelectorAll('.message')].map((m) => m.classList[1])")
