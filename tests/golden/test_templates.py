"""airstrip-probe render against recorded renderings of real chat templates, and against Jinja itself on templates
that a seeded generator makes up."""
import json
import os
import pathlib
import random
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
import tap  # noqa: E402

probe = pathlib.Path(os.environ.get("AIRSTRIP_PLAIN", ".")).resolve() / "airstrip-probe"
shared = pathlib.Path(os.environ.get("AIRSTRIP_SHARED", here.parents[2] / "shared")) / "golden" / "templates"
NOW = "2025-03-04T05:06:07"


def render(requests):
    """One answer for each (template, context); all through one process."""
    lines = "".join(json.dumps({"template": t, "context": c, "now": NOW}) + "\n" for t, c in requests)
    done = subprocess.run([probe, "render"], input=lines.encode(), capture_output=True, timeout=600)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or len(answers) != len(requests):
        raise RuntimeError(f"{len(answers)} answers to {len(requests)} requests, exit status {done.returncode}: "
                           f"{done.stderr.decode()[-500:]}")
    return answers


def fits(expected, answer):
    """Is the answer what one of the recorded renderings (with and without transformers 5's changes) says?"""
    if "plain" in expected and fits(expected["plain"], answer):
        return True
    if "error" not in expected:
        return answer.get("text") == expected["expected"]
    if expected["error_type"] == "TemplateError":  # the template's own words, for the client to read
        return answer.get("error") == expected["error"]
    return "error" in answer


def describe(case, expected, answer):
    return f"{case}: expected {json.dumps(expected, ensure_ascii=False)[:700]}\n" \
           f"found {json.dumps(answer, ensure_ascii=False)[:700]}"


def recorded():
    if not shared.is_dir():
        tap.skip("recorded renderings", f"no {shared}")
        return
    cases = json.loads((shared / "cases.json").read_text())
    for name, t in cases["templates"].items():
        source = (shared / t["file"]).read_bytes().decode()
        known = {"tools": None, "documents": None, **t["special_tokens"], **t["extra_context"]}
        answers = render([(source, {**known, **cases["conversations"][c]}) for c in t["results"]])
        wrong = [describe(c, e, a) for (c, e), a in zip(t["results"].items(), answers) if not fits(e, a)]
        tap.ok(not wrong, f"{name}: {len(answers) - len(wrong)} of {len(answers)} renderings", *wrong[:3])
    features = json.loads((shared / "jinja_features.json").read_text())
    features = next(v for v in features.values() if isinstance(v, list))
    answers = render([(f["template"], f["context"]) for f in features])
    wrong = [describe(f["template"], f, a) for f, a in zip(features, answers) if not fits(f, a)]
    tap.ok(not wrong, f"single features: {len(answers) - len(wrong)} of {len(answers)}", *wrong[:5])


# --- against Jinja -------------------------------------------------------------------------------
def jinja():
    """The environment of transformers' apply_chat_template()."""
    import jinja2
    import jinja2.sandbox

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=["jinja2.ext.loopcontrols"])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


CONTEXT = {
    "i": 7, "j": -3, "z": 0, "x": 2.5, "y": -0.125, "t": True, "f": False, "n": None, "e": [], "em": "", "ed": {},
    "s": "Hello World", "u": "naïve 你好 🦙 x", "w": "  a b\tc \n", "q": "it's \"so\"\\", "num": "42", "fnum": " 3.75 ",
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "lm": [1, "x", None, 2.0, [1, 2], {"k": "v"}],
    "m": {"role": "user", "content": " Hi\n", "items": "shadow", "k": {"deep": [1, {"er": "x"}]}},
    "ms": [{"n": "b", "v": 2, "o": {"p": 1}}, {"n": "a", "v": 1, "o": {"p": 3}}, {"n": "c", "v": 2}],
}


class Expressions:
    """Random expressions, mostly of fitting types: errors are worth a comparison too, but not every time."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def pick(self, *options):
        return self.r.choice(options)

    def any(self, depth):
        return self.pick(self.string, self.string, self.number, self.list, self.boolean, self.mapping,
                         self.odd)(depth)

    def odd(self, depth):
        if depth <= 0:
            return self.pick("n", "missing", "none", "m.nothing", "()", "e", "ed")
        a = self.any(depth - 1)
        return self.pick(f"({a} if {self.boolean(depth - 1)} else {self.any(depth - 1)})", f"({a} or {self.any(0)})",
                         f"({a} and {self.any(0)})", f"({a} | default({self.any(0)}))",
                         f"({a} | default({self.any(0)}, true))", f"({self.list(depth - 1)} | first)",
                         f"({self.list(depth - 1)} | last)", f"{self.mapping(depth - 1)}.get('k', {a})",
                         f"({self.list(depth - 1)})[{self.number(0)}]", f"({a})", f"lm[{self.number(0)}]")

    def string(self, depth):
        if depth <= 0:
            return self.pick("s", "u", "w", "q", "em", "num", "'a'", "\"b\\n\"", "'é'", "m.role", "m['content']", "'x' 'y'")
        a, b = self.string(depth - 1), self.string(depth - 1)
        small = self.pick("0", "1", "2", "-1", "5", "12")
        return self.pick(
            f"({a} + {b})", f"({a} ~ {self.any(depth - 1)})", f"({a} * {self.pick('0', '2', '3', '-1')})",
            f"{a}[{small}]", f"{a}[{small}:]", f"{a}[:{small}]", f"{a}[{small}:{small}:{self.pick('1', '2', '-1', '-2')}]",
            f"({a} | {self.pick('upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'reverse')})",
            f"({a} | replace({b}, {self.string(0)}))", f"({a} | trim({self.string(0)}))",
            f"{a}.{self.pick('strip', 'lstrip', 'rstrip', 'upper', 'lower', 'title', 'capitalize', 'swapcase')}()",
            f"{a}.{self.pick('strip', 'lstrip', 'rstrip', 'removeprefix', 'removesuffix')}({self.string(0)})",
            f"{a}.replace({b}, {self.string(0)})", f"{a}.replace('', '-')", f"{a}.replace({b}, 'Z', 1)",
            f"{self.string(0)}.join({self.strings(depth - 1)})", f"({self.list(depth - 1)} | join({self.string(0)}))",
            f"({self.any(depth - 1)} | tojson)", f"({self.list(depth - 1)} | tojson(indent=2))",
            f"({self.any(depth - 1)} | string)", f"({a} | indent(2))", f"({a} | truncate(5, leeway=0))",
            f"{a}.{self.pick('center', 'ljust', 'rjust', 'zfill')}({self.pick('3', '8', '15')})", f"({a} | center(9))",
            f"'{{}}|{{:>6}}|{{!r}}'.format({self.any(0)}, {self.pick('i', 's', 'x', a)}, {self.string(0)})",
            f"'{{0:05d}} {{1:.2f}} {{k:^7}}'.format({self.pick('i', 'j', 'x')}, {self.number(0)}, k={self.string(0)})",
            f"('%s %r %5d|%-4s|%.2f' % ({self.any(0)}, {self.any(0)}, i, {self.string(0)}, {self.pick('x', 'i', 'y')}))",
            f"({a} | urlencode)")

    def strings(self, depth):
        return self.pick("ls", f"[{self.string(depth)}, {self.string(0)}]", f"{self.string(depth)}.split()",
                         f"{self.string(depth)}.split({self.string(0)})", f"{self.string(depth)}.splitlines()",
                         f"{self.string(depth)}.rsplit({self.string(0)}, 1)", f"{self.string(depth)}.split(none, 1)",
                         f"{self.string(depth)}.rsplit(none, 1)", f"{self.string(depth)}.partition({self.string(0)})",
                         f"{self.string(depth)}.rpartition({self.string(0)})", "(ms | map(attribute='n') | list)")

    def number(self, depth):
        if depth <= 0:
            return self.pick("i", "j", "z", "x", "y", "t", "0", "1", "2", "-1", "3.5", "10", "1e3")
        a, b = self.number(depth - 1), self.number(depth - 1)
        op = self.pick("+", "-", "*", "/", "//", "%")
        return self.pick(f"({a} {op} {b})", f"({a} {op} {b})", f"({self.pick('2', 'i', 'x')} ** {self.pick('0', '2', '3')})",
                         f"(-{a})", f"({a} | abs)", f"({a} | int)", f"({a} | float)", f"({a} | round({self.pick('0', '1', '2')}))",
                         f"({self.string(depth - 1)} | length)", f"({self.list(depth - 1)} | length)",
                         f"({self.string(depth - 1)} | int)", f"({self.string(0)} | float)", f"{self.string(depth - 1)}.find({self.string(0)})",
                         f"{self.string(depth - 1)}.rfind({self.string(0)})", f"{self.string(depth - 1)}.count({self.string(0)})",
                         f"(l | {self.pick('sum', 'min', 'max', 'first', 'last')})", f"({self.string(depth - 1)} | wordcount)")

    def list(self, depth):
        if depth <= 0:
            return self.pick("l", "ls", "lm", "e", "ms", "[1, 2]", "(1, 'a')", "range(3)", "[[1], [0, 2]]")
        a = self.list(depth - 1)
        return self.pick(f"[{self.any(depth - 1)}, {self.any(depth - 1)}]", f"({self.any(0)}, {self.any(depth - 1)})", self.strings(depth - 1),
                         f"({a} + {self.list(0)})", f"{a}[{self.pick('1:', ':-1', '::-1', '-2:', '::2')}]", f"({a} | list)",
                         f"({a} | reverse | list)", f"({a} | sort)", f"({a} | sort(reverse=true))", f"({a} | unique | list)",
                         f"({a} | map('string') | list)", f"({a} | select | list)", f"({a} | reject('none') | list)",
                         f"({a} | select('number') | list)", "(ms | selectattr('v', 'equalto', 2) | list)", "(ms | sort(attribute='n'))",
                         "(ms | map(attribute='o.p') | list)", "(ms | rejectattr('o') | list)", f"({a} | batch(2) | list)", f"({a} | slice(2) | list)",
                         f"({self.mapping(depth - 1)} | dictsort)", f"({self.mapping(depth - 1)}.items() | list)", f"({self.mapping(depth - 1)}.keys() | list)",
                         f"(range({self.pick('5', '2, 8', '9, 1, -3')}) | list)", f"({self.string(depth - 1)} | list)", f"({a} * 2)")

    def mapping(self, depth):
        if depth <= 0:
            return self.pick("m", "ed", "ms[0]", "m.k", "{'a': 1}")
        return self.pick(f"{{{self.string(0)}: {self.any(depth - 1)}, 'k': {self.any(depth - 1)}}}",
                         f"dict({self.mapping(depth - 1)}, a={self.any(0)})", f"{{1: {self.any(depth - 1)}, none: 2, true: 3}}")

    def boolean(self, depth):
        if depth <= 0:
            return self.pick("t", "f", "true", "false", "missing is defined", "n is none")
        a, b = self.any(depth - 1), self.any(depth - 1)
        test = self.pick("defined", "none", "string", "number", "integer", "float", "boolean", "mapping", "iterable",
                         "sequence", "true", "false", "undefined", "not none", "not defined", "lower", "upper", "callable")
        return self.pick(f"({a} is {test})", f"({a} == {b})", f"({a} != {b})", f"(not {a})", f"({self.string(0)} in {self.string(depth - 1)})",
                         f"({self.any(0)} in {self.list(depth - 1)})", f"({self.string(0)} not in {self.mapping(depth - 1)})",
                         f"({self.number(depth - 1)} {self.pick('<', '<=', '>', '>=')} {self.number(depth - 1)})",
                         f"({self.string(depth - 1)} {self.pick('<', '<=', '>', '>=')} {self.string(depth - 1)})",
                         f"({self.list(depth - 1)} < {self.list(depth - 1)})", f"({self.number(0)} < {self.number(0)} <= {self.number(0)})",
                         f"{self.string(depth - 1)}.{self.pick('startswith', 'endswith')}({self.string(0)})",
                         f"{self.string(depth - 1)}.is{self.pick('alpha', 'digit', 'space', 'upper', 'lower', 'alnum')}()",
                         f"(i is divisibleby {self.pick('2', '7', '3')})", f"({self.number(0)} is {self.pick('even', 'odd')})",
                         f"({a} is eq {self.any(0)})", f"({a} and {b})", f"({a} or {b})")


class Statements:
    """Random templates: blanks, newlines and signs around tags, scopes, loops, macros."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.e = Expressions(seed + 1)

    def blank(self):
        return "".join(self.r.choice(["", "", " ", "\n", "  ", "\n\n", "\t", "\r\n", "a", "b ", " c"]) for _ in range(3))

    def tag(self, text):
        return "{%" + self.r.choice(["", "", "-", "+"]) + " " + text + " " + self.r.choice(["", "", "-", "+"]) + "%}"

    def show(self, text):
        return "{{" + self.r.choice(["", "", "-"]) + " " + text + " " + self.r.choice(["", "", "-"]) + "}}"

    def body(self, depth):
        return "".join(self.blank() + self.statement(depth) for _ in range(self.r.randint(1, 3))) + self.blank()

    def statement(self, depth):
        t, b, e = self.tag, self.body, self.e
        kind = self.r.randrange(14) if depth > 0 else self.r.randrange(4)
        name = self.r.choice("ab")
        if kind == 0:
            return "{#" + self.r.choice(["", "-", "+"]) + " c\n" + self.r.choice(["", "-", "+"]) + "#}"
        if kind == 1:
            return t(f"set {name} = {e.any(1)}")
        if kind in (2, 3):
            return self.show(self.r.choice([name, name, e.any(1), "loop.index if loop is defined", "ns.x"]))
        if kind == 4:
            return t(f"if {e.boolean(1)}") + b(depth - 1) + t(f"elif {name}") + b(depth - 1) + t("else") + b(depth - 1) + t("endif")
        if kind in (5, 6):
            return t(f"for {name} in {e.list(1)}" + self.r.choice(["", f" if {name}"])) + b(depth - 1) + \
                self.r.choice(["", t("if loop.index == 2") + t(self.r.choice(["break", "continue"])) + t("endif")]) + b(depth - 1) + \
                self.r.choice(["", t("else") + b(depth - 1)]) + t("endfor")
        if kind == 7:
            return t(f"set {name}") + b(depth - 1) + t("endset")
        if kind == 8:
            return t(f"macro {name}({self.r.choice(['', 'x', 'x, y=2', 'x=a'])})") + b(depth - 1) + self.show("x") + t("endmacro") + \
                self.show(f"{name}({self.r.choice(['', '1', 'b', '1, y=3', 'x=i'])})")
        if kind == 9:
            return t("filter upper") + b(depth - 1) + t("endfilter")
        if kind == 10:
            return t(f"with {name} = {e.any(1)}") + b(depth - 1) + t("endwith")
        if kind == 11:
            return t("set ns = namespace(x=1)") + t("for c in l") + t("set ns.x = ns.x + c") + t("endfor") + self.show("ns.x")
        if kind == 12:
            return "{%" + self.r.choice(["", "-", "+"]) + " raw " + self.r.choice(["", "-"]) + "%}" + self.blank() + "{{ r }}" + self.blank() + t("endraw")
        return t("for a in ms") + self.show("loop.index0 ~ loop.first ~ loop.last ~ loop.revindex ~ loop.length") + \
            self.show("loop.previtem.n ~ loop.nextitem is defined") + b(depth - 1) + t("endfor")


def compare(env, name, templates):
    theirs = []
    for t in templates:
        try:
            theirs.append(env.from_string(t).render(**CONTEXT))
        except Exception as e:  # whatever Jinja or Python raises: ours has to fail as well
            theirs.append(e)
    answers = render([(t, CONTEXT) for t in templates])
    wrong, errors = [], 0
    for t, want, got in zip(templates, theirs, answers):
        errors += isinstance(want, Exception)
        if ("error" not in got) if isinstance(want, Exception) else (got.get("text") != want):
            wrong.append(f"{t!r}\nJinja {want!r}\nfound {got}")
    tap.ok(not wrong, f"{name}: {len(templates) - len(wrong)} of {len(templates)} as Jinja has them", *wrong[:6])
    tap.ok(errors * 3 < len(templates) * 2, f"{name}: enough of them render ({errors} do not)")


def against_jinja():
    env = jinja()
    seed = int(os.environ.get("AIRSTRIP_TEST_SEED", "1"))
    n = int(os.environ.get("AIRSTRIP_TEST_COUNT", "600"))
    e, s = Expressions(seed), Statements(seed)
    compare(env, "expressions", ["{{ " + e.any(d) + " }}" for d in (1, 2, 3) for _ in range(n // 3)])
    compare(env, "statements", ["{% set ns = namespace(x=0) %}" + s.body(2) for _ in range(n // 2)])


tap.attempt(recorded)
tap.attempt(against_jinja)
tap.done()
