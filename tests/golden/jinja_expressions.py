"""Random expressions for the comparison with Jinja, and the variables that they use.

Mostly of fitting types: errors are worth a comparison too, but not every time."""
import json
import random


def context():
    """Values of every kind that JSON has, and what a chat template is given."""
    return json.loads(CONTEXT)


CONTEXT = json.dumps({
    "i": 7,
    "j": -3,
    "z": 0,
    "x": 2.5,
    "y": -0.125,
    "big": 1234567,
    "t": True,
    "f": False,
    "n": None,
    "e": [],
    "em": "",
    "ed": {},
    "s": "Hello World",
    "u": "na\u00efve \u4f60\u597d \U0001f999 x",
    "w": "  a b\tc \n",
    "q": "it's \"so\"\\",
    "num": "42",
    "fnum": " 3.75 ",
    "h": "<b>a & b</b> 'c'",
    "lines": "one\ntwo\r\n\n  three words here",
    "long": "the quick brown fox jumps-over the lazydogwhosenameislong",
    "l": [3, 1, 2],
    "ls": ["b", "A", "c", "a"],
    "lm": [1, "x", None, 2.0, [1, 2], {"k": "v"}],
    "lf": [0.5, -1.25, 3.0],
    "m": {"role": "user", "content": " Hi\n", "items": "shadow", "k": {"deep": [1, {"er": "x"}]}, "get": 3},
    "ms": [{"n": "b", "v": 2, "o": {"p": 1}}, {"n": "a", "v": 1, "o": {"p": 3}}, {"n": "c", "v": 2}, {"n": "A", "v": 1.5}],
    "tree": [{"n": "r", "c": [{"n": "a", "c": [{"n": "b"}]}, {"n": "d", "c": []}]}, {"n": "q"}],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi <|im_end|>\n"}, {
        "role": "assistant", "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"q": [1, 2.5, True, None], "s": "\u00e9\"<"}}}]
    }, {"role": "tool", "content": "21", "tool_call_id": "c1"}, {"role": "user", "content": [{"type": "text", "text": "And?"}]}],
    "tools": [{
        "type": "function", "function": {
            "name": "f", "description": "does\nf", "parameters": {
                "type": "object", "properties": {"q": {"type": "array", "items": {"type": "integer"}}, "s": {"type": ["string", "null"]}},
                "required": ["q"]
            }
        }
    }],
    "bos_token": "<s>",
    "eos_token": "</s>",
    "add_generation_prompt": True,
})

TESTS = [
    "defined", "none", "string", "number", "integer", "float", "boolean", "mapping", "iterable", "sequence", "true", "false", "undefined", "callable",
    "lower", "upper", "escaped", "odd", "even"
]


class Expressions:

    def __init__(self, seed, names=()):
        self.r = random.Random(seed)
        self.names = list(names)  # variables that statements around may have set

    def pick(self, *options):
        return self.r.choice(options)

    def one(self, *makers):
        return self.r.choice(makers)()

    def any(self, depth):
        return self.pick(self.string, self.string, self.number, self.list, self.boolean, self.mapping, self.odd)(depth)

    def atom(self):
        return self.any(0)

    def odd(self, d):
        if d <= 0:
            return self.pick("n", "missing", "none", "None", "m.nothing", "()", "e", "ed", "(1,)", "messages[0]", "tools", *self.names)
        a = self.any(d - 1)
        return self.one(
            lambda: f"({a} if {self.boolean(d - 1)} else {self.any(d - 1)})", lambda: f"({a} if {self.boolean(0)})",
            lambda: f"({a} or {self.atom()})", lambda: f"({a} and {self.atom()})", lambda: f"({a} | default({self.atom()}))",
            lambda: f"({a} | default({self.atom()}, {self.boolean(0)}))", lambda: f"({a} | d)", lambda: f"({self.list(d - 1)} | first)",
            lambda: f"({self.list(d - 1)} | last)", lambda: f"{self.mapping(d - 1)}.get({self.string(0)}, {a})",
            lambda: f"({self.list(d - 1)})[{self.number(0)}]", lambda: f"({a})", lambda: f"lm[{self.number(0)}]",
            lambda: f"({a}){self.pick('.n', '.role', '.k.deep', '[0]', '.0', '[none]', '.items', '.get', '[-1].content')}",
            lambda: f"({a} | attr('role'))", lambda: f"(ms | {self.pick('min', 'max')}(attribute='v'))",
            lambda: f"{self.mapping(d - 1)}[{self.atom()}]",
            lambda: f"messages{self.pick('[-1]', '[0]', '[1:][0]', '[::-1][0]', '[-2:][1]')}.{self.pick('role', 'content', 'tool_calls', 'x')}",
            lambda: f"({self.pick('tools', 'messages', 'm', 'ms')} | tojson({self.json_options()}))")

    def json_options(self):
        some = [
            o for o in (f"indent={self.pick('2', '4', '0', 'none', '1')}", f"ensure_ascii={self.pick('true', 'false')}",
                        f"sort_keys={self.pick('true', 'false')}", "separators=(',', ':')") if self.r.random() < .4
        ]
        return ", ".join(some)

    def small(self):
        return self.pick("0", "1", "2", "3", "-1", "-2", "5", "12", "none", "-9", "")

    def slice(self):
        return f"[{self.small()}:{self.small()}{self.pick('', '', ':' + self.pick('1', '2', '-1', '-2', '3'))}]"

    def spec(self):
        r = self.r
        return (self.pick("", "", "<", ">", "^", "=", "*^", "_<", "\u00e9>", "0=") + self.pick("", "", "+", "-", " ") + self.pick("", "", "", "#") +
                self.pick("", "", "0") + self.pick("", "", str(r.randint(0, 14))) + self.pick("", "", "", ",", "_") +
                self.pick("", "", f".{r.randint(0, 6)}") + self.pick("", "", *"dfegsxXobcnFEG%"))

    def percent(self):
        r = self.r
        return "%" + self.pick("", "", "-", "0", "+", " ", "#", "-0", "+ ", "0#") + self.pick("", "", str(r.randint(1, 9))) + \
            self.pick("", "", f".{r.randint(0, 4)}", ".") + self.pick(*"ssssdiuxXofFeEgGrac")

    def string(self, d):
        if d <= 0:
            return self.pick("s", "u", "w", "q", "h", "lines", "long", "em", "num", "fnum", "'a'", "\"b\\n\"", "'\u00e9'", "m.role", "m['content']",
                             "'x' 'y'", "'\\x41\\u00e9\\'\\\\'", "'%s'", "'{}'", "'a,b;c'", "bos_token", "'ABC'", "' '")
        a, b = self.string(d - 1), self.string(0)
        k = self.pick("0", "1", "2", "3", "8", "15")
        return self.one(
            lambda: f"({a} + {b})", lambda: f"({a} ~ {self.any(d - 1)})", lambda: f"({self.any(d - 1)} ~ {a} ~ {self.number(0)})",
            lambda: f"({a} * {self.pick('0', '2', '3', '-1', 't')})", lambda: f"{a}[{self.pick('0', '1', '-1', '5', '99')}]",
            lambda: a + self.slice(), lambda: a + self.slice(),
            lambda: f"({a} | {self.pick('upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'reverse', 'e', 'escape', 'safe')})",
            lambda: f"({a} | replace({b}, {self.string(0)}))", lambda: f"({a} | replace({b}, {self.atom()}, {self.pick('1', '0', '2', 'none')}))",
            lambda: f"({a} | trim({self.pick(b, 'none', chr(39) + 'Hdx ' + chr(39))}))",
            lambda: f"{a}.{self.pick('strip', 'lstrip', 'rstrip', 'upper', 'lower', 'title', 'capitalize', 'swapcase', 'casefold')}()",
            lambda: f"{a}.{self.pick('strip', 'lstrip', 'rstrip', 'removeprefix', 'removesuffix')}({b})",
            lambda: f"{a}.{self.pick('strip', 'lstrip', 'rstrip')}('Hdb \\n')", lambda: f"{a}.replace({b}, {self.string(0)})",
            lambda: f"{a}.replace('', '-')", lambda: f"{a}.replace({b}, 'Z', {self.pick('1', '0', '-1')})",
            lambda: f"{b}.join({self.strings(d - 1)})", lambda: f"({self.list(d - 1)} | join({self.pick('', b, 'd=' + b)}))",
            lambda: f"({self.pick('ms', 'messages')} | join({b}, attribute={self.pick(chr(39) + 'n' + chr(39), chr(39) + 'role' + chr(39))}))",
            lambda: f"({self.any(d - 1)} | tojson({self.json_options()}))", lambda: f"({self.any(d - 1)} | string)",
            lambda: f"({a} | indent({self.pick('2', '', 'width=3', '2, true', 'first=true, blank=true', repr('> '), 'blank=true')}))", lambda:
            f"({a} | truncate({self.pick('5, leeway=0', '10', '9, true', '12, false, ' + repr('..'), '5, true, ' + repr('') + ', 0', 'length=8, end=' + repr('-'))}))",
            lambda: f"{a}.{self.pick('center', 'ljust', 'rjust')}({k}{self.pick('', ', ' + repr('*'), ', ' + repr('é'))})", lambda: f"{a}.zfill({k})",
            lambda: f"{a}.expandtabs({self.pick('', k)})", lambda: f"({a} | center({self.pick('', k)}))", lambda: f"({a} | urlencode)",
            lambda: f"({self.mapping(0)} | urlencode)", lambda: f"({a} | forceescape)",
            lambda: f"'{{}}|{{:>6}}|{{!r}}'.format({self.atom()}, {self.pick('i', 's', 'x', a)}, {b})",
            lambda: f"'{{:{self.spec()}}}'.format({self.pick(self.number, self.number, self.string, self.odd, self.boolean)(0)})",
            lambda: f"'{{:{self.spec()}}}'.format({self.pick('i', 'x', 's', 'big', 'y', 't')})",
            lambda: f"'{{0:05d}} {{1:.2f}} {{k:^7}}'.format({self.pick('i', 'j', 'x')}, {self.number(0)}, k={b})",
            lambda: f"'{{0[role]}} {{0.role}} {{1[0]}} {{a!s:>8}} {{{{}}}}'.format(m, l, a={self.atom()})",
            lambda: f"'{{:{{}}}}|{{:{{w}}.{{p}}f}}'.format({b}, {k}, x, w=9, p={self.pick('1', '2')})",
            lambda: f"('%s %r %5d|%-4s|%.2f' % ({self.atom()}, {self.atom()}, i, {b}, {self.pick('x', 'i', 'y')}))",
            lambda: f"('{self.percent()}' % {self.pick('i', 'x', 's', 'j', 'y', 'u', 'big', 'n', 't', '(l,)', self.atom())})",
            lambda: f"('{self.percent()} %% {self.percent()}' % ({self.pick('i', 's', 'x', self.atom())}, {self.pick('i', 's', 'y')}))",
            lambda: f"('%(role)s-%(k)s-%(role)5.2s' % m)", lambda: f"('%*d|%-*s' % ({k}, i, {k}, s))",
            lambda: f"('{self.percent()}' | format({self.pick('i', 's', 'x', self.atom())}))",
            lambda: f"('%(a)s%(b)s' | format(a={self.atom()}, b=2))",
            lambda: f"{a}.{self.pick('upper', 'strip', 'title')}().{self.pick('lower', 'strip', 'swapcase')}()", lambda:
            f"({a} | {self.pick('upper', 'trim', 'e')} | {self.pick('lower', 'title', 'length', 'e', 'replace(' + b + ', ' + repr('<') + ')')})",
            lambda:
            f"({self.string(d - 1)} | map({self.pick(repr('upper'), repr('string'), repr('replace') + ', ' + repr('l') + ', ' + repr('L'))}) | join)")

    def strings(self, d):
        return self.pick("ls", f"[{self.string(d)}, {self.string(0)}]", f"{self.string(d)}.split()", f"{self.string(d)}.split({self.string(0)})",
                         f"{self.string(d)}.splitlines({self.pick('', 'true')})",
                         f"{self.string(d)}.rsplit({self.string(0)}, {self.pick('1', '2', '-1')})",
                         f"{self.string(d)}.split({self.pick('none', repr(' '), 'sep=' + repr('o'))}, {self.pick('1', '0', 'maxsplit=1')})",
                         f"{self.string(d)}.rsplit(none, 1)", f"{self.string(d)}.partition({self.string(0)})",
                         f"{self.string(d)}.rpartition({self.string(0)})", "(ms | map(attribute='n') | list)", f"({self.string(d)} | list)",
                         f"(messages | map(attribute='role') | {self.pick('list', 'unique | list')})")

    def number(self, d):
        if d <= 0:
            return self.pick("i", "j", "z", "x", "y", "t", "big", "0", "1", "2", "-1", "3.5", "10", "1e3", "1_000", "0x1f", "0b101", "0o17", "2.50",
                             "1E-2")
        a, b = self.number(d - 1), self.number(d - 1)
        op = self.pick("+", "-", "*", "/", "//", "%")
        return self.one(
            lambda: f"({a} {op} {b})", lambda: f"({a} {op} {b})", lambda: f"({a} {op} {b} {self.pick('+', '-', '*')} {self.number(0)})",
            lambda: f"({self.pick('2', 'i', 'x', '-2', 'j')} ** {self.pick('0', '2', '3', '-1', '2 ** 2')})", lambda: f"(-{a})", lambda: f"(+{a})",
            lambda: f"(-{self.number(0)} ** 2)", lambda: f"({a} | abs)", lambda: f"({a} | int)", lambda: f"({a} | float)", lambda:
            f"({a} | round({self.pick('', '0', '1', '2', '-1', '1, ' + repr('ceil'), '1, ' + repr('floor'), 'method=' + repr('ceil'), '-2')}))",
            lambda: f"({self.string(d - 1)} | length)", lambda: f"({self.list(d - 1)} | {self.pick('length', 'count')})", lambda:
            f"({self.pick(self.string(d - 1), repr('0x1F'), repr('101'), repr('-12'), repr('1_0'), repr('z'))} | int({self.pick('', '5', '0, 16', 'base=2', 'default=none')}))",
            lambda: f"({self.pick(self.string(0), repr('1e3'), repr('-.5'), repr('1_0.5'), self.atom())} | float({self.pick('', '1.5', 'none')}))",
            lambda: f"{self.string(d - 1)}.{self.pick('find', 'rfind', 'count', 'index', 'rindex')}({self.string(0)})", lambda:
            f"{self.string(d - 1)}.{self.pick('find', 'rfind', 'count')}({self.string(0)}, {self.pick('1', '-3', '0, 4', '2, -1', 'none, 3')})",
            lambda: f"({self.pick('l', 'lf', '(1, 2.5)')} | {self.pick('sum', 'min', 'max', 'first', 'last', 'sum(start=1)', 'sum(start=0.5)')})",
            lambda: f"(ms | sum(attribute='v'))", lambda: f"({self.string(d - 1)} | wordcount)", lambda: f"({self.atom()} | int)",
            lambda: f"{self.list(d - 1)}.{self.pick('index', 'count')}({self.atom()})")

    def test(self):
        return self.pick(*TESTS, "eq(2)", "ne('a')", "gt(1)", "lt(2)", "ge(1)", "le(2)", "in(l)", "in('abc')", "sameas(none)", "divisibleby(2)",
                         "equalto('x')", "greaterthan(1)", "lessthan(3)", "filter", "test")

    def selector(self):
        """Arguments of select and reject."""
        return self.pick("", "'defined'", "'none'", "'string'", "'number'", "'equalto', 2", "'eq', 'a'", "'in', [1, 'a', 'b']", "'gt', 1", "'lt', 2",
                         "'ne', none", "'mapping'", "'iterable'", "'odd'", "'even'", "'divisibleby', 2", "'true'", "'sequence'", "'==', 1", "'>=', 2")

    def list(self, d):
        if d <= 0:
            return self.pick("l", "ls", "lm", "lf", "e", "ms", "messages", "[1, 2]", "(1, 'a')", "range(3)", "[[1], [0, 2]]", "[3, 1.5, true]",
                             "[1, ]", "((1, 2), (0, 3))")
        a = self.list(d - 1)
        path = self.pick("'n'", "'v'", "'o.p'", "'o'", "'role'", "'missing'", "'content'", "0", "'n,v'")
        return self.one(
            lambda: f"[{self.any(d - 1)}, {self.any(d - 1)}]", lambda: f"({self.atom()}, {self.any(d - 1)})", lambda: self.strings(d - 1),
            lambda: f"({a} + {self.list(0)})", lambda: a + self.slice(), lambda: a + self.slice(), lambda: f"({a} | list)",
            lambda: f"({a} | reverse | list)", lambda: f"({a} | sort({self.pick('', 'true', 'reverse=true', 'case_sensitive=true')}))",
            lambda: f"({a} | unique{self.pick('', '(true)')} | list)",
            lambda: f"({self.pick('ms', 'messages', a)} | unique(attribute={path}) | list)", lambda:
            f"({a} | map({self.pick(*map(repr, ('string', 'upper', 'length', 'int', 'abs', 'tojson', 'list', 'first', 'e', 'trim')))}) | list)",
            lambda: f"({a} | map('default', {self.atom()}) | list)", lambda: f"({a} | map('round', 1) | list)",
            lambda: f"({self.pick('ms', 'messages', a)} | map(attribute={path}{self.pick('', ', default=' + self.atom())}) | list)",
            lambda: f"({a} | {self.pick('select', 'reject')}({self.selector()}) | list)", lambda:
            f"({self.pick('ms', 'messages', a)} | {self.pick('selectattr', 'rejectattr')}({path}{self.pick('', ', ' + (self.selector() or repr('none')))}) | list)",
            lambda: f"({self.pick('ms', 'messages', a)} | sort(attribute={path}{self.pick('', ', reverse=true', ', case_sensitive=true')}))", lambda:
            f"({self.pick('ms', 'messages', a)} | groupby({path}{self.pick('', ', default=0', ', default=' + repr(''), ', case_sensitive=true')}) | list)",
            lambda: f"({a} | batch({self.pick('2', '3', '2, 0', '4, none')}) | list)", lambda: f"({a} | slice({self.pick('2', '3', '2, 0')}) | list)",
            lambda: f"({self.mapping(d - 1)} | dictsort({self.pick('', 'true', 'false, ' + repr('value'), 'by=' + repr('value'), 'reverse=true')}))",
            lambda: f"({self.mapping(d - 1)}.{self.pick('items', 'keys', 'values')}() | list)", lambda: f"({self.mapping(d - 1)} | items | list)",
            lambda: f"({self.mapping(d - 1)} | list)",
            lambda: f"(range({self.pick('5', '2, 8', '9, 1, -3', '0', '-2', '1, 10, 4')}){self.pick('', '[1:]', '[::-1]')} | list)",
            lambda: f"({a} * {self.pick('2', '0', '-1')})", lambda: f"{a}.copy()", lambda: f"({a} | {self.pick('first', 'last')} | list)",
            lambda: f"({self.mapping(d - 1)} | map({self.pick(repr('upper'), repr('string'))}) | list)",
            lambda: f"({a} | map('map', 'string') | map('join', '-') | list)", lambda: f"({a} | select | map('string') | sort)")

    def mapping(self, d):
        if d <= 0:
            return self.pick("m", "ed", "ms[0]", "m.k", "{'a': 1}", "tools[0].function", "messages[0]", "{1: 'a', none: 2}")
        return self.pick(f"{{{self.string(0)}: {self.any(d - 1)}, 'k': {self.any(d - 1)}}}", f"dict({self.mapping(d - 1)}, a={self.atom()})",
                         f"{{1: {self.any(d - 1)}, none: 2, true: 3, 1.5: 4}}", f"dict(a={self.atom()}, b={self.any(d - 1)})",
                         f"{self.mapping(d - 1)}.copy()", f"dict([('x', {self.atom()}), ({self.atom()}, 2)])",
                         f"{{{self.number(0)}: 1, {self.number(0)}: 2,}}", f"dict(**{self.mapping(d - 1)})", f"dict({self.mapping(d - 1)}.items())",
                         f"{{(1, 'a'): {self.atom()}}}")

    def boolean(self, d):
        if d <= 0:
            return self.pick("t", "f", "true", "false", "True", "False", "missing is defined", "n is none", "tools", "add_generation_prompt")
        a, b = self.any(d - 1), self.any(d - 1)
        order = self.pick("<", "<=", ">", ">=")
        return self.one(
            lambda: f"({a} is {self.test()})", lambda: f"({a} is not {self.test()})", lambda: f"({a} == {b})", lambda: f"({a} != {b})",
            lambda: f"(not {a})", lambda: f"({self.string(0)} in {self.string(d - 1)})", lambda: f"({self.atom()} in {self.list(d - 1)})",
            lambda: f"({self.atom()} not in {self.mapping(d - 1)})", lambda: f"({self.number(d - 1)} {order} {self.number(d - 1)})",
            lambda: f"({self.string(d - 1)} {order} {self.string(d - 1)})", lambda: f"({self.list(d - 1)} {order} {self.list(d - 1)})",
            lambda: f"({self.number(0)} < {self.number(0)} <= {self.number(0)} != {self.number(0)})",
            lambda: f"({self.list(d - 1)} == {self.list(d - 1)})", lambda: f"({self.mapping(0)} == {self.mapping(0)})", lambda:
            f"{self.string(d - 1)}.{self.pick('startswith', 'endswith')}({self.pick(self.string(0), '(s[:2], ' + repr('x') + ')')}{self.pick('', ', 1', ', 0, 4', ', -2')})",
            lambda:
            f"{self.string(d - 1)}.is{self.pick('alpha', 'digit', 'space', 'upper', 'lower', 'alnum', 'title', 'numeric', 'decimal', 'ascii', 'identifier', 'printable')}()",
            lambda: f"({self.number(0)} is divisibleby {self.pick('2', '7', '3')})", lambda: f"({self.number(0)} is {self.pick('even', 'odd')})",
            lambda: f"({a} is eq {self.atom()})", lambda: f"({a} is in {self.list(0)})", lambda: f"({a} and {b})", lambda: f"({a} or {b})",
            lambda: f"({a} is sameas {self.pick('none', 'true', 'false', 'l', 'm')})", lambda: f"(not {a} is {self.test()})",
            lambda: f"({a} is {self.test()} and {b} is not {self.test()})", lambda: f"(not {self.atom()} in {self.list(0)})",
            lambda: f"({a} is not eq {self.atom()})", lambda: f"({self.string(0)} is {self.pick('filter', 'test')})")
