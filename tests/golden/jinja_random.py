"""Random statements around random expressions (jinja_expressions.py), and damage done to templates.

One seed always gives the same templates."""
import random


class Sound:
    """Expressions that can be evaluated, nearly always: one of many that fails ends a template."""

    def __init__(self, e, fine):
        self.e, self.fine = e, fine

    def test(self):
        return self.e.test()

    def __getattr__(self, name):

        def make(depth):
            for _ in range(6):
                found = getattr(self.e, name)(depth)
                if depth <= 0 or self.fine(found) or self.e.r.random() < .03:
                    break
            return found

        return make


class Statements:
    """Random templates: blanks, newlines and signs around tags, scopes, loops, macros."""
    NAMES = ["a", "b", "i", "s", "x", "tools", "item"]  # some of them variables of the context

    def __init__(self, seed, expressions, fine):
        self.r = random.Random(seed)
        self.e = Sound(expressions, fine)
        self.loops, self.macros, self.block = 0, 0, 0

    def blank(self):
        return "".join(
            self.r.choice(["", "", " ", "\n", "  ", "\n\n", "\t", "\r\n", "a", "b ", " c", "\u00a0", "{ ", "} ", "% ", "\u4f60"]) for _ in range(3))

    def tag(self, text):
        return "{%" + self.r.choice(["", "", "-", "+"]) + self.r.choice([" ", " ", "", "\n"]) + text + self.r.choice(
            [" ", " ", "\n "]) + self.r.choice(["", "", "-", "+"]) + "%}"

    def show(self, text):
        return "{{" + self.r.choice(["", "", "-", "+" if text[:1] not in "'\"" else ""]) + " " + text + " " + self.r.choice(["", "", "-"]) + "}}"

    def body(self, depth):
        return "".join(self.blank() + self.statement(depth) for _ in range(self.r.randint(1, 3))) + self.blank()

    def name(self):
        return self.r.choice(self.NAMES)

    def loop_value(self):
        return self.r.choice([
            "loop.index", "loop.index0", "loop.first", "loop.last", "loop.revindex", "loop.revindex0", "loop.length", "loop.depth", "loop.depth0",
            "loop.previtem", "loop.nextitem", "loop.previtem is defined", "loop.nextitem is defined", "loop.cycle('x', 'y', 3)", "loop.changed(a)",
            "loop.changed(loop.index // 2, b)", "loop.index is odd", "loop.cycle(*ls)", "loop | length", "loop.missing"
        ])

    def statement(self, depth):
        kinds = [self.comment, self.assign, self.print, self.print] if depth <= 0 else [
            self.comment, self.assign, self.assign, self.print, self.print, self.condition, self.condition, self.loop, self.loop, self.loop,
            self.unpacking, self.filtered, self.set_block, self.macro, self.macro, self.caller, self.filter_block, self.with_block, self.namespace,
            self.raw, self.recursive, self.jump, self.generation, self.named_block, self.found, self.tuple_set, self.cycler, self.chat, self.auto
        ]
        return self.r.choice(kinds)(depth)

    def comment(self, _):
        return "{#" + self.r.choice(["", "-", "+"]) + " c {{ x }} %}\n" + self.r.choice(["", "-", "+"]) + "#}"

    def assign(self, _):
        return self.tag(f"set {self.name()} = {self.e.any(1)}")

    def tuple_set(self, _):
        a, b = self.name(), self.name()
        return self.tag(f"set {a}, {b} = {self.r.choice(['1, 2', '(3, ' + repr('x') + ')', 'l[:2]', 's[:2]', '[1], 2', 'm.items() | list', 'i'])}"
                        ) + self.show(f"{a} ~ {b}")

    def print(self, _):
        name = self.name()
        return self.show(
            self.r.choice(
                [name, name,
                 self.e.any(1),
                 self.e.any(2),
                 self.loop_value() + " if loop is defined", "ns.x", name + " is defined", "loop.index"]))

    def condition(self, d):
        t, b = self.tag, self.body
        out = t(f"if {self.r.choice([self.e.boolean(1), self.name(), self.e.any(1)])}") + b(d - 1)
        for _ in range(self.r.choice([0, 0, 1, 2])):
            out += t(f"elif {self.e.boolean(1)}") + b(d - 1)
        return out + self.r.choice(["", t("else") + b(d - 1)]) + t("endif")

    def loop(self, d):
        t, b = self.tag, self.body
        name = self.name()
        out = t(f"for {name} in {self.e.list(1)}" +
                self.r.choice(["", "", f" if {name}", f" if {self.e.boolean(1)}", f" if {name} is {self.e.test()}"]))
        out += self.show(self.r.choice([self.loop_value(), self.loop_value(), name])) + b(d - 1)
        if self.r.random() < .3:
            out += t(f"if {self.r.choice(['loop.index == 2', 'loop.first', 'loop.last', name])}") + t(self.r.choice(["break", "continue"
                                                                                                                     ])) + t("endif") + b(d - 1)
        return out + self.r.choice(["", t("else") + b(d - 1)]) + t("endfor")

    def unpacking(self, d):
        a, b = self.r.sample(self.NAMES, 2)
        over = self.r.choice([
            "m.items()", "m | dictsort", "ms | groupby('v')", "[(1, 2), ('a', 'b')]", "ms[0].items()", "tools[0].function | items", "l | batch(2)",
            "['ab', 'cd']"
        ])
        return self.tag(f"for {a}, {b} in {over}{self.r.choice(['', ' if ' + a, ' recursive'])}") + self.show(f"{a} ~ '=' ~ {b}") + self.show(self.loop_value()) + \
            self.body(d - 1) + self.tag("endfor")

    def filtered(self, d):
        """Bodies that change what the filter of their loop looks at, and loops over generators."""
        t = self.tag
        over = self.r.choice([
            "l", "ms", "messages", "range(6)", "l | select", "ls | map('upper')", "ms | selectattr('v', 'gt', 1)",
            "messages | rejectattr('content', 'none')"
        ])
        return t("set ns = namespace(n=0, go=true)") + t(f"for a in {over} if {self.r.choice(['ns.go', 'ns.n < 2', 'ns.n % 2 == 0', 'true'])}") + \
            self.r.choice(["", self.show(self.loop_value())]) + t("set ns.n = ns.n + 1") + self.r.choice(["", t("if ns.n > 1") + t("set ns.go = false") + t("endif")]) + \
            self.r.choice(["", self.show(self.loop_value())]) + self.show("ns.n") + self.r.choice(["", t("else") + "none"]) + t("endfor") + self.show("ns.n ~ ns.go")

    def set_block(self, d):
        what = self.name() + self.r.choice(["", "", " | upper", " | trim | length", " | replace('a', 'b')", " | indent(2) | tojson"])
        return self.tag(f"set {what}") + self.body(d - 1) + self.tag("endset") + self.show(what.split()[0])

    def macro(self, d):
        self.macros += 1
        name = self.r.choice(["mac", f"m{self.macros}", "a"])
        params = self.r.choice(["", "p", "p, y=2", "p=a", "p, y=p", "p=[], *", "a, b=a"]).replace(", *", "")
        inner = self.r.choice([
            "p", "varargs", "kwargs", "kwargs.z", "varargs | join('+')", "p ~ y", "caller is defined", f"{name}.name", f"{name}.arguments",
            "caller()", "a"
        ])
        args = self.r.choice(["", "1", "b", "1, y=3", "p=i", "1, 2, 3", "z=4", "*l", "**{'p': 5}", "s, *ls, q=1", "y=1", "x, x"])
        call = self.show(
            self.r.choice([f"{name}({args})", f"{name}({args}) | upper", f"{name}({args}) | trim | length", f"{name}", f"{name} is callable"]
                          ) if self.r.random() < .9 else f"{name}.arguments")
        return self.tag(f"macro {name}({params})") + self.body(d - 1) + self.show(inner) + self.tag("endmacro") + self.r.choice(
            [call, call + call, self.body(d - 1) + call])

    def caller(self, d):
        params = self.r.choice(["", "", "(p)", "(p, y=1)"])
        pass_on = {"": "caller()", "(p)": "caller(i)", "(p, y=1)": "caller('x', y=2)"}[params]
        return self.tag("macro wrap(k=1)") + "<" + self.show(self.r.choice([pass_on, pass_on + " ~ " + pass_on, pass_on + " | upper", "k"])) + ">" + self.tag("endmacro") + \
            self.tag(f"call{params} wrap({self.r.choice(['', '3', 'k=a'])})") + self.body(d - 1) + self.show("p" if params else "k") + self.tag("endcall")

    def filter_block(self, d):
        return self.tag("filter " + self.r.choice([
            "upper", "trim", "replace('a', 'x')", "indent(3)", "length", "title | reverse", "tojson", "e", "trim | indent(width=1, first=true)",
            "list", "wordcount", "center(20)", "truncate(6, true, '')"
        ])) + self.body(d - 1) + self.tag("endfilter")

    def with_block(self, d):
        a, b = self.name(), self.name()
        return self.tag("with " + self.r.choice([f"{a} = {self.e.any(1)}", f"{a} = 1, {b} = {a}", f"{a} = i, {b} = {self.e.any(0)}", ""])
                        ) + self.body(d - 1) + self.show(a) + self.tag("endwith")

    def namespace(self, d):
        t = self.tag
        return t(f"set ns = namespace({self.r.choice(['x=1', 'x=0, y=l', 'dict(x=2)', 'm, x=1', '[(' + repr('x') + ', 3)]'])})") + t("for c in l") + t("set ns.x = ns.x + c") + self.body(d - 1) + \
            self.r.choice(["", t("set ns.z") + self.blank() + t("endset")]) + t("endfor") + self.show("ns.x") + self.show(self.r.choice(["ns.y", "ns.z", "ns['x']", "ns is mapping", "ns.x is defined"]))

    def raw(self, _):
        return "{%" + self.r.choice(["", "-", "+"]) + " raw " + self.r.choice(
            ["", "-"]) + "%}" + self.blank() + "{{ r }}{% if %}{# " + self.blank() + self.tag("endraw")

    def recursive(self, d):
        t = self.tag
        deeper = self.r.choice(["loop(a.c)", "loop(a.c) | upper", "loop(a.get('c', []))"])
        return t(f"for a in tree {self.r.choice(['', 'if a.n != ' + repr('d') + ' '])}recursive") + self.show("a.n ~ " + self.r.choice(["loop.depth", "loop.index", "loop.last", "loop.length"])) + \
            t("if a.c") + "(" + self.show(deeper) + ")" + t("endif") + self.body(d - 1) + self.r.choice(["", t("else") + "none"]) + t("endfor")

    def jump(self, d):
        t = self.tag
        return t("for a in range(5)") + t(f"if a == {self.r.choice('123')}") + t(self.r.choice(["break", "continue"])) + t("endif") + t("for b in l") + \
            t(f"if b {self.r.choice(['==', '>', '!='])} 1") + self.blank() + t(self.r.choice(["break", "continue"])) + t("else") + self.show("a ~ b") + t("endif") + t("endfor") + \
            self.show("b is defined") + t("endfor")

    def generation(self, d):
        return self.tag("generation") + self.body(d - 1) + self.tag("endgeneration")

    def named_block(self, d):
        self.block += 1
        return self.tag(f"block b{self.block}{self.r.choice(['', '', ' scoped'])}") + self.body(d - 1) + self.tag(f"endblock{self.r.choice(['', ' b' + str(self.block)])}") + \
            self.r.choice(["", "", self.show(f"self.b{self.block}()")])

    def found(self, d):
        """Names that are read in an inner scope before an outer one sets them."""
        t, name = self.tag, self.r.choice(["s", "i", "tools", "a"])
        return self.r.choice([
            t("for b in [1, 2]") + self.show(name) + t(f"set {name} = b") + self.show(name) + t("endfor") + self.show(name),
            t("macro late()") + self.show(name) + t("endmacro") + self.show("late()") + t(f"set {name} = 'new'") + self.show("late()") +
            self.show(name),
            t("if f") + t(f"set {name} = 1") + t("endif") + self.show(name),
            t("with") + self.show(name) + t(f"set {name} = 3") + self.show(name) + t("endwith") + self.show(name),
            t("for b in l") + t("for c in ls") + self.show(name) + t("endfor") + t(f"set {name} = 'late'") + t("endfor") + self.show(name),
            t(f"set {name} = {name}") + self.show(name),
            t(f"for {name} in {name}") + self.show(name) + t("endfor")
        ])

    def cycler(self, _):
        return self.tag("set c = cycler('o', 'e')") + self.tag("set comma = joiner('|')") + self.tag("for a in l") + self.show(
            "comma() ~ c.next() ~ c.current") + self.tag("endfor") + self.show("c.current")

    def auto(self, d):
        return self.tag(f"autoescape {self.r.choice(['none', 'false'])}") + self.show("h") + self.show(
            self.e.any(1)) + self.show("h | safe") + self.body(d - 1) + self.tag("endautoescape")

    def chat(self, d):
        """What chat templates do all day."""
        t, s = self.tag, self.show
        return t("for message in messages") + t("if message.role == 'user' or (message['role'] == 'system' and loop.first)") + "<|im_start|>" + s("message.role") + "\n" + \
            s("message.content | trim if message.content is string else message['content'][0].text") + t("elif message.tool_calls") + t("for call in message.tool_calls") + \
            s("call.function | tojson") + s("',' if not loop.last else ''") + t("endfor") + t("else") + s("message.content") + t("endif") + "<|im_end|>\n" + t("endfor") + \
            t("if add_generation_prompt") + s("'<|im_start|>assistant\\n'") + t("endif") + self.body(d - 1)


class Mutations:
    """Templates with a few bytes changed: what still parses means the same, what does not fails."""
    BITS = [
        "{{", "}}", "{%", "%}", "{#", "#}", "-", "+", " ", "\n", "'", '"', "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", "~", "is", "not", "in",
        "if", "else", "for", "set", "endfor", "endif", "0", "1", "00", "07", "1.", ".5", "1e", "1e5", "1_0", "1__0", "_", "a", "loop", "true", "None",
        "*", "**", "=", "==", "!=", "!", "<", ">", "//", "/", "%", "\\", "\\n", "@", "$", ";", "&", "^", "?", "`", "\x00", "\u00e9", "and", "or",
        "recursive", "x.1", "l.0", "l[0]", "l[0,1]", "l[:,]", "as", "with", "endwith", "raw", "endraw", "macro", "call", "filter", "block", "print",
        "break", "self", "caller", "varargs", "kwargs", "*l", "**m", "x=1", "%-", "-%"
    ]

    def __init__(self, seed):
        self.r = random.Random(seed)

    def mutate(self, t):
        r = self.r
        for _ in range(r.choice([1, 1, 1, 2, 3])):
            i = r.randrange(len(t) + 1)
            j, k = min(len(t), i + r.randrange(1, 6)), r.randrange(len(t) + 1)
            t = r.choice([
                t[:i] + t[j:], t[:i] + r.choice(self.BITS) + t[i:], t[:i] + r.choice(self.BITS) + t[j:], t[:i] + t[i:j] * 2 + t[j:],
                t[:i] + t[k:k + r.randrange(1, 12)] + t[i:]
            ])
        return t


def has_address(text):
    """Python prints where an object lies in memory, or its own name for what is no value of JSON."""
    return any(mark in text for mark in ("object at 0x", "<function", "<built-in", "<bound method", "<class", "<generator", "<Macro", "<Namespace",
                                         "<Block", "&lt;function", "&lt;built-in", "&lt;bound", "&lt;class", "&lt;generator", "&lt;Macro",
                                         "&lt;Namespace", "<jinja2", "BlockReference", "TemplateReference", "LoopContext"))
