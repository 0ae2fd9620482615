"""Answers that are guaranteed to fit: OpenAI's client with Pydantic models, and the names that other servers have for it."""
import enum
import json
import re
from typing import List, Literal, Optional, Union

import jsonschema
import openai
import pydantic

from stack import Stack, in_threads
import tap

CHAT = "/v1/chat/completions"


class Colour(enum.Enum):
    red = "red"
    green = "green"
    blue = "blue"


class Address(pydantic.BaseModel):
    street: str = pydantic.Field(max_length=30)
    number: int = pydantic.Field(ge=1, le=500)


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=30)
    age: int = pydantic.Field(ge=0, lt=150)
    height_m: float = pydantic.Field(gt=0.5, lt=2.5)
    favourite: Colour
    home: Optional[Address]
    tags: List[Literal["tall", "kind", "loud"]] = pydantic.Field(max_length=3)


class Leaf(pydantic.BaseModel):
    kind: Literal["leaf"]
    value: int


class Node(pydantic.BaseModel):
    kind: Literal["node"]
    children: List[Union["Node", Leaf]] = pydantic.Field(max_length=2)


SCHEMA = {"type": "object", "properties": {
    "city": {"type": "string", "minLength": 2, "maxLength": 20, "pattern": "^[A-Z][a-z ]+$"},
    "founded": {"type": "string", "format": "date"}, "people": {"type": "integer", "minimum": 1000, "multipleOf": 10}},
    "required": ["city", "founded", "people"], "additionalProperties": False}


def ask(prompt="Describe somebody.", **more):
    return dict({"model": "primary", "max_tokens": 300, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}, **more)


def content(answer):
    return answer.json()["choices"][0]["message"]["content"]


def with_schema(schema, name="answer"):
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}


def pydantic_models(s):
    client = s.client()
    for seed in range(3):
        done = client.chat.completions.parse(model="primary", messages=[{"role": "user", "content": "Invent a person."}],
                                             response_format=Person, temperature=seed, seed=seed, max_tokens=400)
        choice = done.choices[0]
        tap.equal(choice.finish_reason, "stop", f"temperature {seed}: the answer ends by itself")
        tap.ok(isinstance(choice.message.parsed, Person), f"temperature {seed}: parsed as a Person", choice.message)
    try:
        tree = client.chat.completions.parse(model="primary", messages=[{"role": "user", "content": "A tree."}], temperature=0.7,
                                             response_format=Node, seed=4, max_tokens=800).choices[0]
        tap.ok(isinstance(tree.message.parsed, Node), "a recursive model", tree)
    except openai.LengthFinishReasonError:  # nothing says how deep the tree may be
        tap.ok(True, "a recursive model")
    with client.chat.completions.stream(model="primary", messages=[{"role": "user", "content": "Invent a person."}],
                                        response_format=Person, temperature=0, max_tokens=400) as stream:
        final = stream.get_final_completion()
    tap.ok(isinstance(final.choices[0].message.parsed, Person), "streamed and parsed", final)


def many_at_once(s):
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    bodies = [ask(f"Name city number {i}.", response_format=with_schema(SCHEMA), temperature=1.5, seed=i) for i in range(12)]
    alone = [content(s.request("POST", CHAT, b)) for b in bodies[:4]]
    free = [lambda: s.request("POST", CHAT, ask("Tell me a story.", max_tokens=60)).status for _ in range(3)]
    together = in_threads([lambda b=b: content(s.request("POST", CHAT, b)) for b in bodies] + free)
    tap.equal(together[:4], alone, "the same alone and among others")
    for i, text in enumerate(together[:12]):
        errors = [e.message for e in validator.iter_errors(json.loads(text))]
        tap.ok(not errors, f"valid at temperature 1.5: {i}", text, *errors)
    n = s.request("POST", CHAT, ask(response_format=with_schema(SCHEMA), temperature=1.5, seed=7, n=3)).json()
    tap.ok(all(validator.is_valid(json.loads(c["message"]["content"])) for c in n["choices"]), "n choices, each valid", n)
    tap.ok(all(c["finish_reason"] == "stop" for c in n["choices"]), "and each ends")


def other_names(s):
    def post(**fields):
        answer = s.request("POST", CHAT, ask("Is water wet?", **fields))
        tap.equal(answer.status, 200, f"{list(fields)}: answered")
        return content(answer)
    tap.ok(isinstance(json.loads(post(response_format={"type": "json_object"}, max_tokens=1500)), dict), "json_object")
    for name in ("guided_choice", "structured_outputs"):
        choice = ["yes", "no", "it depends"]
        tap.ok(post(**{name: choice if name[0] == "g" else {"choice": choice}}) in choice, f"{name}: a choice")
    for fields in ({"guided_regex": "[0-9]{2,4}-(a|b)"}, {"regex": "[0-9]{2,4}-(a|b)"},
                   {"structured_outputs": {"regex": "[0-9]{2,4}-(a|b)"}}):
        text = post(**fields)
        tap.ok(re.fullmatch("[0-9]{2,4}-(a|b)", text), f"{fields}", text)
    grammar = '# greetings\nroot ::= greeting ", " name "!"\ngreeting ::= "Hello" |\n  "Good " ("day" | "night")\nname ::= [A-Z] [a-z]{2,8}\n'
    for fields in ({"grammar": grammar}, {"guided_grammar": grammar}, {"structured_outputs": {"grammar": grammar}}):
        text = post(**fields)
        tap.ok(re.fullmatch("(Hello|Good (day|night)), [A-Z][a-z]{2,8}!", text), f"{list(fields)}: GBNF", text)
    for fields in ({"guided_json": SCHEMA}, {"guided_json": json.dumps(SCHEMA)}, {"structured_outputs": {"json": SCHEMA}},
                   {"json_schema": SCHEMA}, {"response_format": {"type": "json_object", "schema": SCHEMA}}):
        text = post(**fields)
        tap.ok(jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(text)), f"{list(fields)}: valid", text)
    answer = s.request("POST", "/v1/completions", {"model": "primary", "prompt": "A city as JSON: ", "max_tokens": 300,
                                                   "response_format": with_schema(SCHEMA)}).json()
    tap.ok(jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(answer["choices"][0]["text"])), "/v1/completions", answer)


def refusals(s):
    unique = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    for stream in (False, True):
        answer = s.request("POST", CHAT, ask(response_format=with_schema(unique), stream=stream))
        error = answer.json()["error"]
        tap.equal((answer.status, error["param"]), (400, "response_format.json_schema.schema"), f"refused, stream {stream}")
        tap.ok("#/properties/a" in error["message"] and "uniqueItems" in error["message"], "keyword and place", error)
    for fields in ({"guided_regex": "(?=a)b"}, {"guided_choice": []}, {"response_format": {"type": "yaml"}},
                   {"grammar": "root ::= ("}, {"grammar": "a ::= \"b\""}, {"guided_json": {"type": "thing"}}, {"regex": "a", "guided_choice": ["b"]}):
        tap.equal(s.request("POST", CHAT, ask(**fields)).status, 400, f"400: {fields}")


def forced_text_is_cheap(s):
    before = s.status()
    schema = {"type": "object", "properties": {f"a_rather_long_name_{i}": {"type": "boolean"} for i in range(6)},
              "required": [f"a_rather_long_name_{i}" for i in range(6)]}
    text = content(s.request("POST", CHAT, ask(response_format=with_schema(schema))))
    after = s.status()
    accepted = after["accepted_tokens"] - before["accepted_tokens"]
    tap.ok(len(json.loads(text)) == 6, "all names are there", text)
    tap.ok(accepted > 20, "most of what must come is verified several tokens at a time", accepted)


try:
    with Stack("lighttpd") as stack:
        for test in (pydantic_models, many_at_once, other_names, refusals, forced_text_is_cheap):
            tap.attempt(test, stack)
except Exception as error:
    tap.ok(False, "lighttpd starts", error)
tap.done()
