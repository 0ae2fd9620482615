"""JSON Schema keyword by keyword: what is supported generates texts that jsonschema finds valid, what is not is refused by name and place.

Texts are random: any token of the mask with the same chance, which is wilder than any temperature.
"""
import json
import pathlib
import re
import sys

import jsonschema

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parent)]
import tap  # noqa: E402
from constrained import INVALID, LIMIT, UNSUPPORTED, VOCABULARIES, answers  # noqa: E402

SAMPLES = 20
Validator = jsonschema.Draft202012Validator
TREE = {"type": "object", "properties": {"v": {"type": "integer"}, "c": {"type": "array", "items": {"$ref": "#/$defs/t"}, "maxItems": 2}}, "required": ["v"]}
KIND = {"type": "object", "properties": {"kind": {"enum": ["a", "b", "c"]}, "x": {"type": "integer"}, "y": {"type": "boolean"}}, "required": ["kind"]}


def objects(**more):
    return dict({"type": "object"}, **more)


SUPPORTED = {
    "type": [{"type": t} for t in ["null", "boolean", "integer", "number", "string", "array", "object"]] +
            [{"type": ["string", "null"]}, {"type": ["integer", "boolean", "array"]}, {"type": ["number", "object"]}],
    "true": [True, {}],
    "properties": [objects(properties={"a": {"type": "integer"}, "b c": {"type": "string"}, "\u00e9\"": {"type": "null"}})],
    "required": [objects(properties={"a": {"type": "integer"}, "b": {"type": "boolean"}}, required=["b", "undeclared"])],
    "additionalProperties": [objects(properties={"a": {"type": "null"}}, additionalProperties=False), objects(properties={"ab": {"type": "null"}}, additionalProperties={"type": "integer"}),
                             objects(additionalProperties=True, properties={"a": {"type": "null"}}, required=["a"]), objects(additionalProperties=False)],
    "patternProperties": [objects(patternProperties={"^x-": {"type": "integer"}}, minProperties=1, additionalProperties=False),
                          objects(patternProperties={"^a": {"type": "integer"}, "b$": {"type": "integer", "minimum": 3}}, properties={"ab": {"maximum": 9}}, additionalProperties={"type": "null"})],
    "propertyNames": [objects(propertyNames={"pattern": "^[a-z]{2,5}$"}, minProperties=1), objects(propertyNames={"enum": ["a", "b"]}), objects(propertyNames={"maxLength": 3, "not": {"const": "no"}})],
    "minProperties": [objects(minProperties=1), objects(properties={n: {"type": "null"} for n in "abcd"}, minProperties=3)],
    "maxProperties": [objects(maxProperties=1), objects(properties={n: {"type": "null"} for n in "abcd"}, maxProperties=2, required=["c"])],
    "items": [{"type": "array", "items": {"type": "boolean"}}, {"type": "array", "items": False}, {"type": "array", "items": {"type": "array", "items": {"type": "null"}}}],
    "prefixItems": [{"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}, {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False, "minItems": 1},
                    {"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "boolean"}}],
    "contains": [{"type": "array", "contains": {"const": 5}}, {"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 7}, "maxItems": 4},
                 {"type": "array", "prefixItems": [{"type": "null"}], "contains": {"type": "string"}}],
    "minContains": [{"type": "array", "contains": {"type": "boolean"}, "minContains": 2}, {"type": "array", "contains": {"type": "boolean"}, "minContains": 0}],
    "maxContains": [{"type": "array", "contains": {"const": 1}, "maxContains": 1}, {"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 5}, "minContains": 2, "maxContains": 3},
                    {"type": "array", "contains": {"type": "string"}, "minContains": 0, "maxContains": 1}],
    "minItems": [{"type": "array", "minItems": 3, "items": {"type": "integer"}}],
    "maxItems": [{"type": "array", "maxItems": 0}, {"type": "array", "maxItems": 2}],
    "uniqueItems": [{"type": "array", "uniqueItems": True, "maxItems": 1}, {"type": "array", "uniqueItems": False}],
    "enum": [{"enum": [1, "a", None, 2.5, {"x": [1, {"y": None}]}, [], ""]}, {"enum": ["\u00e9\n\"", "\U0001f600"]}, {"type": "string", "enum": ["a", 1, "b"]}],
    "const": [{"const": 0}, {"const": "x"}, {"const": {"a": [True]}}, {"const": -1.5e-7}],
    "anyOf": [{"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 3}]}, {"anyOf": [{"minimum": 3}, {"maximum": -3}], "type": "integer"}],
    "oneOf": [{"oneOf": [{"type": "integer"}, {"type": "null"}]}, {"oneOf": [{"type": "integer", "minimum": 2}, {"type": "integer", "maximum": 10}]},
              {"oneOf": [{"type": "string", "maxLength": 4}, {"type": "string", "pattern": "^a"}]}, objects(oneOf=[{"required": ["a"]}, {"required": ["b"]}], properties={"a": {}, "b": {}}),
              {"oneOf": [{"type": "number"}, {"minimum": 2}]}, {"oneOf": [KIND, {"type": "object", "properties": {"kind": {"const": "z"}}}]}],
    "allOf": [{"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]}, {"allOf": [{"pattern": "^a"}, {"pattern": "b$"}, {"type": "string", "maxLength": 9}]},
              {"allOf": [objects(properties={"a": {"minimum": 1}}), objects(properties={"a": {"type": "integer", "maximum": 2}}, required=["a"])]}],
    "not": [{"not": {"type": ["string", "object", "array"]}}, {"type": "string", "not": {"enum": ["", "a", "\u00e9"]}, "maxLength": 2}, {"type": "string", "not": {"pattern": "[aeiou]"}},
            {"type": "integer", "not": {"minimum": 3}}, {"type": ["object", "string"], "not": {"required": ["a"]}, "properties": {"a": {}, "b": {}}}, {"not": {"const": 3}, "type": "integer"},
            objects(properties={"a": {"enum": ["x", "y"]}}, **{"not": {"properties": {"a": {"const": "x"}}, "required": ["a"]}}), {"type": "array", "not": {"items": {"type": "integer"}}},
            {"type": "boolean", "not": {"const": True}}, {"not": {"anyOf": [{"type": "integer"}, {"maxLength": 2}]}}, {"not": {"not": {"type": "null"}}}, {"type": "array", "not": {"contains": {"type": "null"}}}],
    "if, then, else": [dict(KIND, **{"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["x"]}, "else": {"required": ["y"]}}),
                       dict(KIND, allOf=[{"if": {"properties": {"kind": {"const": k}}, "required": ["kind"]}, "then": {"required": [r]}} for k, r in [("a", "x"), ("b", "y")]]),
                       {"type": "integer", "if": {"minimum": 10}, "then": {"multipleOf": 5}, "else": {"multipleOf": 3}}, {"if": {"type": "string"}, "then": {"maxLength": 3}, "else": {"type": "null"}},
                       {"type": "string", "if": {"maxLength": 4}, "then": {"const": "yes"}, "else": {"pattern": "^[a-z]+$"}}, {"type": "integer", "if": {"const": 3}, "then": False},
                       {"if": {"multipleOf": 3}, "type": "integer", "else": False}],
    "dependentRequired": [objects(properties={"a": {}, "b": {}, "c": {}}, dependentRequired={"a": ["b"], "b": ["c"]})],
    "dependentSchemas": [objects(properties={"a": {"type": "null"}, "b": {}}, dependentSchemas={"a": {"properties": {"b": {"type": "integer"}}, "required": ["b"]}})],
    "unevaluatedProperties": [objects(allOf=[{"properties": {"a": {"type": "integer"}}}], properties={"b": {"type": "null"}}, unevaluatedProperties=False),
                              objects(properties={"k": {"enum": [1, 2]}}, anyOf=[{"properties": {"k": {"const": 1}, "a": {}}, "required": ["k", "a"]}, {"properties": {"k": {"const": 2}}}], unevaluatedProperties=False),
                              objects(unevaluatedProperties={"type": "integer"}, patternProperties={"^x": {"type": "null"}}, minProperties=1),
                              {"allOf": [objects(properties={"a": {"type": "null"}}, required=["a"]), objects(unevaluatedProperties={"type": ["null", "integer"]})]}],
    "unevaluatedItems": [{"type": "array", "allOf": [{"prefixItems": [{"type": "integer"}]}], "prefixItems": [{}, {"type": "null"}], "unevaluatedItems": False},
                         {"type": "array", "prefixItems": [{"type": "null"}], "unevaluatedItems": {"type": "boolean"}}],
    "$ref, $defs": [{"$ref": "#/$defs/t", "$defs": {"t": TREE}}, {"$defs": {"a/b%": {"type": "boolean"}}, "$ref": "#/$defs/a~1b%25"}, {"$defs": {"x": {"$anchor": "here", "type": "null"}}, "$ref": "#here"},
                    objects(properties={"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, required=["next"]), {"definitions": {"old": {"type": "integer"}}, "items": {"$ref": "#/definitions/old"}, "type": "array"}],
    "$id": [{"$id": "http://a.example/root.json", "$ref": "sub/item.json", "$defs": {"i": {"$id": "sub/item.json", "$ref": "#/$defs/k", "$defs": {"k": {"type": "integer"}}}}},
            {"$id": "http://a.example/x/", "$defs": {"i": {"$id": "y#", "$anchor": "p", "type": "null"}, "j": {"$anchor": "p", "type": "boolean"}}, "prefixItems": [{"$ref": "y#p"}, {"$ref": "#p"}], "type": "array"}],
    "$dynamicRef": [{"$dynamicAnchor": "node", "type": "array", "items": {"$dynamicRef": "#node"}}],
    "pattern": [{"type": "string", "pattern": p} for p in ["^[a-z]+$", "b", "^(a|bc)*$", "^\\d[\\s\\D]*$", "^\\S\\w?$", "^[^\\u0000-\\u007f]{2}$", "^\"\\\\$", "^.{2,3}$"]],
    "format": [{"type": "string", "format": f} for f in ["date", "time", "date-time", "uuid", "email", "uri", "ipv4", "ipv6", "hostname", "duration", "idn-email", "idn-hostname", "iri", "uri-reference",
                                                         "iri-reference", "uri-template", "json-pointer", "relative-json-pointer", "regex", "our-own-word"]],
    "minLength": [{"type": "string", "minLength": 5}, {"type": "string", "minLength": 2, "pattern": "^[\U0001f600-\U0001f64f]*$"}],
    "maxLength": [{"type": "string", "maxLength": 0}, {"type": "string", "maxLength": 3, "format": "hostname"}],
    "minimum": [{"type": "integer", "minimum": -17}, {"type": "number", "minimum": 2.75}],
    "maximum": [{"type": "integer", "maximum": 1234567}, {"type": "number", "maximum": -0.001, "minimum": -0.01}],
    "exclusiveMinimum": [{"type": "integer", "exclusiveMinimum": 9, "maximum": 11}, {"type": "number", "exclusiveMinimum": 0}],
    "exclusiveMaximum": [{"type": "integer", "exclusiveMaximum": 0}, {"type": "number", "exclusiveMaximum": 1e-3, "minimum": 0}],
    "multipleOf": [{"type": "integer", "multipleOf": m} for m in [1, 2, 7, 60, 1000, 123456789, 2.5]] + [{"type": "integer", "multipleOf": 12, "minimum": 100, "maximum": 200}],
    "words that say nothing": [{"title": "t", "description": "d", "default": 1, "examples": [2], "deprecated": True, "readOnly": True, "$comment": "c", "contentEncoding": "base64", "x-own": {"minimum": "?"},
                                "type": "integer"}],
}

# schema, what the sentence must hold: the place, the keyword
REFUSED = [
    (objects(properties={"a": {"type": "array", "uniqueItems": True}}), UNSUPPORTED, "#/properties/a: \"uniqueItems\" "),
    ({"$defs": {"n": {"$recursiveRef": "#"}}, "items": {"$ref": "#/$defs/n"}}, UNSUPPORTED, "#/$defs/n: \"$recursiveRef\" "),
    ({"anyOf": [{"type": "number", "multipleOf": 0.01}]}, UNSUPPORTED, "#/anyOf/0: \"multipleOf\" "),
    ({"items": {"$ref": "http://elsewhere.example/schema.json"}}, UNSUPPORTED, "#/items: \"$ref\" "),
    ({"$ref": "#/$defs/none"}, INVALID, "#: \"$ref\" "),
    (objects(properties={"p": {"pattern": "(?<=a)b"}}), UNSUPPORTED, "#/properties/p: \"pattern\" "),
    (objects(patternProperties={"\\bx": {}}), UNSUPPORTED, "#: \"patternProperties\" "),
    ({"allOf": [{"not": {"uniqueItems": True}}]}, UNSUPPORTED, "#/allOf/0/not: \"uniqueItems\" "),
    ({"items": {"not": {"format": "email"}}}, UNSUPPORTED, "#/items: \"not\" "),
    ({"type": "array", "contains": {"multipleOf": 3}, "maxContains": 2}, UNSUPPORTED, "#: \"maxContains\" "),
    ({"if": {"format": "date"}, "then": {"minLength": 3}}, UNSUPPORTED, "#: \"if\" "),
    ({"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "email"}]}, UNSUPPORTED, "#: \"oneOf\" "),
    ({"oneOf": [{"type": "integer", "multipleOf": 2}, {"type": "integer", "maximum": 10}]}, UNSUPPORTED, "#: \"oneOf\" "),
    (objects(minProperties=2), UNSUPPORTED, "#: \"minProperties\" "),
    ({"type": "array", "minItems": 100000}, LIMIT, "#: \"minItems\" "),
    ({"type": "thing"}, INVALID, "#: \"type\" "),
    (objects(properties={"a": {"minLength": -1}}), INVALID, "#/properties/a: \"minLength\" "),
    (objects(required="a"), INVALID, "#: \"required\" "),
    ({"prefixItems": []}, INVALID, "#: \"prefixItems\" "),
    ({"anyOf": {}}, INVALID, "#: \"anyOf\" "),
    ({"items": {"enum": "a"}}, INVALID, "#/items: \"enum\" "),
    ({"$defs": {"two": {"$id": "http://a.example/2", "$dynamicAnchor": "n"}}, "$id": "http://a.example/1", "$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}}, UNSUPPORTED, "#/items: \"$dynamicRef\" "),
    (False, INVALID, "exclude each other"),
    ({"type": "integer", "minimum": 2, "maximum": 1}, INVALID, "exclude each other"),
]
FORMATS = Validator.FORMAT_CHECKER


def problem(validator, text):
    try:
        return next((e.message for e in validator.iter_errors(json.loads(text))), None)
    except ValueError as e:
        return repr(e)


def supported(model, keyword, schemas):
    for schema, answer in zip(schemas, answers(model, [{"schema": s, "samples": SAMPLES, "tokens": 40, "seed": 11} for s in schemas])):
        texts = [t for t in answer.get("texts", []) if t is not None]
        validator = Validator(schema, format_checker=FORMATS)
        wrong = [(t, p) for t in texts for p in [problem(validator, t)] if p]
        if "error" in answer or wrong or len(texts) < SAMPLES / 2:
            tap.ok(False, f"{model.name}: {keyword}", json.dumps(schema), answer.get("error", ""), *wrong[:2], f"{len(texts)} texts")
            return
    tap.ok(True, f"{model.name}: {keyword}")


def refused(model):
    for (schema, code, says), answer in zip(REFUSED, answers(model, [{"schema": s, "samples": 1} for s, *_ in REFUSED])):
        good = answer.get("code") == code and says in answer.get("error", "")
        tap.ok(good, f"{model.name}: refused, {says.strip()}", json.dumps(schema), answer)


def all_keywords_are_here():
    """Each keyword that the compiler knows is in a schema above, so that a new one is not forgotten."""
    source = (here.parents[1] / "inference" / "constrain" / "schema_keywords.c").read_text()
    known = set(re.findall(r'^    \{ "([$\w]+)", FORM_', source, re.M))
    shown = json.dumps([SUPPORTED, [s for s, *_ in REFUSED]])
    missing = [k for k in known if f'"{k}": ' not in shown and k not in ("additionalItems", "dependencies")]
    tap.ok(known and not missing, f"all {len(known)} keywords are tried", *missing)


all_keywords_are_here()
for vocabulary in VOCABULARIES:
    if not vocabulary.exists():
        tap.skip(vocabulary.name, "not there")
        continue
    for keyword, schemas in SUPPORTED.items():
        tap.attempt(supported, vocabulary, keyword, schemas)
    tap.attempt(refused, vocabulary)
tap.done()
