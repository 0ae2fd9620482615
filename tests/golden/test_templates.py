"""airstrip-probe render against recorded renderings of real chat templates, and against Jinja itself on templates
that a seeded generator makes up (jinja_random.py)."""
import json
import os
import pathlib
import subprocess
import sys
import warnings

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
import jinja_expressions  # noqa: E402
import jinja_random  # noqa: E402
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
    import jinja2.ext
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        """{% generation %}, which marks an answer's own words for training."""
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("say"), [], [], body).set_lineno(line)

        def say(self, caller):
            return caller()

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=[Generation, "jinja2.ext.loopcontrols"])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


def theirs(env, template):
    """What Jinja makes of it, or the exception that it or Python raises."""
    try:
        return env.from_string(template).render(**jinja_expressions.context())
    except Exception as e:  # whatever it is: ours has to fail as well
        return e


def differ(want, got):
    if isinstance(want, Exception):  # an unknown filter that nothing comes to is no error here
        return "error" not in got and not str(want).startswith(("No filter named", "No test named"))
    return got.get("text") != want and not jinja_random.has_address(want)


def compare(env, name, templates, fail):
    """fail: at most so many in a hundred may fail, else there is little to compare."""
    wants = [theirs(env, t) for t in templates]
    answers = render([(t, jinja_expressions.context()) for t in templates])
    wrong = [f"{t!r}\nJinja {w!r}\nfound {a}" for t, w, a in zip(templates, wants, answers) if differ(w, a)]
    errors = sum(isinstance(w, Exception) for w in wants)
    tap.ok(not wrong, f"{name}: {len(templates) - len(wrong)} of {len(templates)} as Jinja has them", *wrong[:6])
    tap.ok(errors * 100 < len(templates) * fail, f"{name}: enough of them render ({errors} do not)")


def against_jinja():
    """AIRSTRIP_TEST_SEED and AIRSTRIP_TEST_COUNT: others, and more of them."""
    warnings.simplefilter("ignore")  # Python's, on what mutations make of constants
    env = jinja()
    seed = int(os.environ.get("AIRSTRIP_TEST_SEED", "1"))
    n = int(os.environ.get("AIRSTRIP_TEST_COUNT", "2400"))
    e = jinja_expressions.Expressions(seed)
    names = jinja_random.Statements.NAMES
    s = jinja_random.Statements(seed, jinja_expressions.Expressions(seed + 1, names),
                                lambda x: not isinstance(theirs(env, "{{ " + x + " }}"), Exception))
    expressions = ["{{ " + e.any(1 + i % 3) + " }}" for i in range(n)]
    statements = ["{% set ns = namespace(x=0) %}" + s.body(1 + i % 2) for i in range(n // 3)]
    compare(env, "expressions", expressions, 20)
    compare(env, "statements", statements, 50)
    recorded_ones = [f.read_text() for f in sorted(shared.glob("*.jinja"))]
    mutate = jinja_random.Mutations(seed).mutate
    compare(env, "damaged ones", [mutate(t) for t in expressions[:n // 2] + statements + recorded_ones * 2], 97)


tap.attempt(recorded)
tap.attempt(against_jinja)
tap.done()
