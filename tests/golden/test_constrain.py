"""Random texts for random schemas, regular expressions and real schemas: all validate with jsonschema and re; masks against every token.

AIRSTRIP_SCHEMAS names a folder of draft 2020-12 test files (as in the JSON Schema test suite): their schemas are tried too.
"""
import json
import os
import pathlib
import random
import re
import sys

import jsonschema

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parent)]
import tap  # noqa: E402
from constrained import LIMIT, UNSUPPORTED, VOCABULARIES, answers  # noqa: E402

Validator = jsonschema.Draft202012Validator

# What people send: function arguments, extraction, trees, unions with a discriminator, settings.
REAL = {
    "weather": {"type": "object", "properties": {"location": {"type": "string", "description": "City, e.g. Paris"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}, "days": {"type": "integer", "minimum": 1, "maximum": 14}},
                "required": ["location"], "additionalProperties": False},
    "event": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 60}, "date": {"type": "string", "format": "date"},
              "start": {"type": "string", "format": "date-time"}, "participants": {"type": "array", "items": {"type": "string"}, "minItems": 1},
              "mail": {"anyOf": [{"type": "string", "format": "email"}, {"type": "null"}]}, "id": {"type": "string", "format": "uuid"}},
              "required": ["name", "date", "start", "participants", "mail", "id"], "additionalProperties": False},
    "steps": {"type": "object", "$defs": {"step": {"type": "object", "properties": {"explanation": {"type": "string"}, "output": {"type": "string"}},
              "required": ["explanation", "output"], "additionalProperties": False}}, "properties": {"steps": {"type": "array", "items":
              {"$ref": "#/$defs/step"}, "maxItems": 3}, "final_answer": {"type": "string"}}, "required": ["steps", "final_answer"], "additionalProperties": False},
    "interface": {"type": "object", "properties": {"type": {"enum": ["div", "button", "form"]}, "label": {"type": "string", "maxLength": 10}, "children":
                  {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}}, "required": ["type", "label", "children"], "additionalProperties": False},
    "list": {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"value": {"type": "number"}, "next":
             {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["value", "next"]}}},
    "shape": {"oneOf": [{"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0}}, "required": ["kind", "radius"]},
              {"type": "object", "properties": {"kind": {"const": "square"}, "side": {"type": "number", "minimum": 0.1, "maximum": 99.5}}, "required": ["kind", "side"]}]},
    "payment": {"type": "object", "properties": {"card": {"type": "string", "pattern": "^[0-9]{16}$"}, "cvv": {"type": "string", "pattern": "^[0-9]{3,4}$"},
                "iban": {"type": "string"}}, "dependentRequired": {"card": ["cvv"]}, "oneOf": [{"required": ["card"]}, {"required": ["iban"]}]},
    "env": {"type": "object", "patternProperties": {"^[A-Z_]+$": {"type": ["string", "number", "boolean"]}}, "additionalProperties": False, "minProperties": 1},
    "headers": {"type": "object", "propertyNames": {"pattern": "^[a-z][a-z-]*$", "maxLength": 20}, "additionalProperties": {"type": "string", "maxLength": 40}, "maxProperties": 4},
    "point": {"type": "array", "prefixItems": [{"type": "number", "minimum": -180, "maximum": 180}, {"type": "number", "minimum": -90, "maximum": 90}], "items": False, "minItems": 2},
    "network": {"type": "object", "properties": {"v4": {"format": "ipv4"}, "v6": {"format": "ipv6"}, "host": {"format": "hostname"}, "url": {"format": "uri"}, "time": {"format": "time"},
                "for": {"format": "duration"}}, "required": ["v4", "v6", "host", "url", "time", "for"], "additionalProperties": False},
    "merged": {"allOf": [{"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]}, {"properties": {"a": {"maximum": 7}, "b": {"type": "string"}}, "required": ["b"]}]},
    "open": {"type": "object", "properties": {"id": {"type": "integer", "multipleOf": 5, "minimum": 0}}, "required": ["id"], "additionalProperties": {"type": "boolean"}, "maxProperties": 3},
}
REGEXES = ["[a-f0-9]{8}", "(yes|no|maybe), (sir|madam)!?", "\\d{3}-\\w+", "[^\\s\"]{1,9}\\s?", "(a|b)*abb", "x{2,4}(y|z)?", "\u00e9+|\u65e5\u672c"]


# --- schemas at random -------------------------------------------------------------------------

def some_string(r):
    s = {"type": "string"}
    if r.random() < .3:
        s["minLength"] = r.randrange(4)
    if r.random() < .3:
        s["maxLength"] = r.randrange(2, 12)
    if r.random() < .3:
        s["pattern"] = r.choice(["^[a-z]+$", "b", "^x", "[0-9]$", "^(red|green)+$", "^[^a]*$", "^\\S+$"])
    elif r.random() < .15:
        s["format"] = r.choice(["date", "uuid", "ipv4", "email", "hostname", "date-time"])
    return s


def some_number(r):
    s = {"type": r.choice(["integer", "number"])}
    lo = r.choice([-1000, -7.25, -1, 0, 0.5, 3, 99, 12345])
    if r.random() < .5:
        s[r.choice(["minimum", "exclusiveMinimum"])] = lo
    if r.random() < .5:
        s[r.choice(["maximum", "exclusiveMaximum"])] = lo + r.choice([1, 2.5, 10, 1e6])
    if s["type"] == "integer" and r.random() < .3:
        s["multipleOf"] = r.choice([1, 2, 3, 7, 10])
    return s


def some_object(r, depth):
    names = r.sample(["a", "b", "ab", "name", "na\u00efve", "x y", "q\"", "a\\b", "id", ""], r.randrange(5))
    s = {"type": "object", "properties": {n: schema(r, depth + 1) for n in names}}
    if names and r.random() < .6:
        s["required"] = r.sample(names, r.randrange(len(names) + 1)) + (["other"] if r.random() < .1 else [])
    if r.random() < .4:
        s["additionalProperties"] = r.choice([False, True, {"type": "integer"}])
    if r.random() < .15:
        s["patternProperties"] = {r.choice(["^x", "a", "[0-9]"]): schema(r, depth + 1)}
    if r.random() < .15:
        s["maxProperties"] = r.randrange(4)
    if r.random() < .15:
        s["minProperties"] = r.randrange(3)
    if r.random() < .1:
        s["propertyNames"] = {"maxLength": 4}
    if r.random() < .15:
        s["unevaluatedProperties"] = r.choice([False, {"type": "boolean"}])
    if names and r.random() < .1:
        s["dependentSchemas"] = {r.choice(names): some_object(r, depth + 1)}
    return s


def combined(r, depth):
    """A schema and what a not, an if or an allOf beside its own keywords makes of it."""
    s = schema(r, depth + 1)
    if not isinstance(s, dict):
        return s
    kind = r.random()
    if kind < .4:
        s["not"] = schema(r, depth + 2)
    elif kind < .8:
        s["if"] = schema(r, depth + 2)
        for k in r.sample(["then", "else"], r.randrange(1, 3)):
            s[k] = schema(r, depth + 2)
    else:
        s["allOf"] = [schema(r, depth + 2)]
    return s


def some_array(r, depth):
    s = {"type": "array", "maxItems": r.randrange(4)}
    if r.random() < .7:
        s["items"] = schema(r, depth + 1)
    if r.random() < .3:
        s["prefixItems"] = [schema(r, depth + 1) for _ in range(r.randrange(1, 3))]
    if r.random() < .3:
        s["minItems"] = r.randrange(3)
    if r.random() < .15:
        s["contains"] = schema(r, depth + 2)
        if r.random() < .3:
            s["maxContains"] = r.randrange(1, 3)
    if r.random() < .1:
        s["unevaluatedItems"] = r.choice([False, {"type": "integer"}])
    return s


def schema(r, depth=0):
    kind = r.random()
    if depth > 3 or kind < .35:
        return r.choice([some_string, some_number, some_number])(r) if r.random() < .8 else r.choice([{"type": "boolean"}, {"type": "null"}])
    if kind < .42:
        return {"enum": r.sample([1, 2.5, "x", "y z", None, True, {"k": [1]}, []], r.randrange(1, 5))}
    if kind < .46:
        return {"const": r.choice([0, "c", None, {"a": "b"}])}
    if kind < .56:
        return {"anyOf": [schema(r, depth + 1) for _ in range(r.randrange(1, 4))]}
    if kind < .61:
        return {"oneOf": [schema(r, depth + 1) for _ in range(r.randrange(1, 4))]}
    if kind < .67:
        return {"allOf": [schema(r, depth + 1) for _ in range(2)]}
    if kind < .70 and depth:
        return {"$ref": "#/$defs/shared"}
    if kind < .76:
        return combined(r, depth)
    return some_object(r, depth) if kind < .87 else some_array(r, depth)


def root(r):
    s = schema(r)
    return dict(s, **{"$defs": {"shared": schema(r, 2)}})


# --- judging -----------------------------------------------------------------------------------

def wrong(validator, text):
    """What is wrong with it, or None."""
    try:
        errors = [e.message for e in validator.iter_errors(json.loads(text))]
    except ValueError as e:
        errors = [repr(e)]
    return errors[0] if errors else None


def judge(title, schemas, model, samples, least):
    """All texts of all that are supported are valid; few are not supported, none without a reason."""
    out = answers(model, [{"schema": s, "samples": samples, "tokens": 60, "seed": i} for i, s in enumerate(schemas)])
    supported = checked = 0
    for s, o in zip(schemas, out):
        if "error" in o:
            known = o["code"] in (UNSUPPORTED, LIMIT) or any(why in o["error"] for why in ("exclude each other", "without end"))
            if not known:
                tap.ok(False, f"{title}: refused for a reason", json.dumps(s), o)
            continue
        supported += 1
        validator = Validator(s, format_checker=Validator.FORMAT_CHECKER)
        for text in o["texts"]:
            problem = text is not None and wrong(validator, text)
            checked += text is not None
            if problem:
                tap.ok(False, f"{title}: valid", json.dumps(s), text, problem)
                break
    tap.ok(supported >= least and checked >= samples * supported / 2, f"{title}: all {checked} texts for {supported} of {len(schemas)} schemas are valid",
           f"expected at least {least} supported")


def masks(model):
    """Each mask against trying every token of the vocabulary."""
    requests = [{"schema": s, "samples": 1, "tokens": 12, "seed": 3, "verify": True} for s in REAL.values()]
    requests += [{"regex": x, "samples": 1, "tokens": 12, "verify": True} for x in REGEXES] + [{"object": True, "samples": 1, "tokens": 12, "verify": True}]
    bad = [o for o in answers(model, requests) if "error" in o]
    tap.ok(not bad, f"{model.name}: masks hold just the tokens that fit", *bad)


def regexes(model):
    for x, o in zip(REGEXES, answers(model, [{"regex": x, "samples": 20, "tokens": 40} for x in REGEXES])):
        bad = [t for t in o.get("texts", [o]) if t is not None and not re.fullmatch(x, t)]
        tap.ok(not bad, f"{model.name}: /{x}/", *bad)


for vocabulary in VOCABULARIES:
    if not vocabulary.exists():
        tap.skip(vocabulary.name, "not there")
        continue
    rng = random.Random(7)
    tap.attempt(judge, f"{vocabulary.name}: real", list(REAL.values()), vocabulary, 20, len(REAL))
    tap.attempt(judge, f"{vocabulary.name}: random", [root(rng) for _ in range(400)], vocabulary, 20, 250)
    tap.attempt(regexes, vocabulary)
    tap.attempt(masks, vocabulary)
folder = os.environ.get("AIRSTRIP_SCHEMAS")
if folder and VOCABULARIES[0].exists():
    suite = [g["schema"] for f in sorted(pathlib.Path(folder).glob("*.json")) for g in json.loads(f.read_text())]
    tap.attempt(judge, "test suite", suite, VOCABULARIES[0], 20, 200)
tap.done()
