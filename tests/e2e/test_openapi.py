"""schemathesis against /openapi.json through lighttpd: what the schemas allow is taken, what they do not is refused, answers are as described.

AIRSTRIP_SCHEMATHESIS=N runs N generated examples of each operation instead of a few.
"""
import json
import os
import subprocess
import tempfile

from stack import Stack, key_line
from test_clients import environment
import tap

TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
KEY = "a-key-for-schemathesis-alone"
HEADERS = {"Authorization": "Bearer " + KEY}
SHORT = {"type": "string", "maxLength": 40}
NOTHING = {"type": "null"}
SCHEMAS = {"enum": [True, {"type": "integer"}, {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}, "required": ["a"]}]}

# What a schema cannot say and the server rightly refuses: ids that this model does not have, members that exclude each other or depend on
# what another one lists, texts in languages of their own (JSON Schema, GBNF, regular expressions).  Here only such as it can take.
NARROW = {
    "Generation": {"model": {"enum": ["primary", None]}, "structured_outputs": NOTHING, "guided_json": NOTHING, "guided_regex": NOTHING,
                   "repeat_penalty": NOTHING, "min_tokens": {"enum": [0, 1, None]}, "guided_choice": NOTHING, "guided_grammar": NOTHING, "grammar": NOTHING, "json_schema": NOTHING, "regex": NOTHING,
                   "logit_bias": {"type": ["object", "null"], "propertyNames": {"pattern": "^[0-9]{1,2}$"},
                                  "additionalProperties": {"type": ["number", "null"], "minimum": -100, "maximum": 100}}},
    "Tools": {"tool_choice": {"enum": ["none", "auto", None]}},
    "Template": {"continue_final_message": {"enum": [False, None]}, "chat_template_kwargs": NOTHING},
    "ChatRequest": {"function_call": {"enum": ["none", "auto", None]}, "modalities": {"enum": [None, ["text"]]},
                    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 3},
                    "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 8},
                    "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 8}},
    "CompletionRequest": {"n": {"enum": [1, None]}, "best_of": {"enum": [0, 1, None]},
                          "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 8}},
    "ResponsesRequest": {"instructions": {"type": ["string", "null"], "maxLength": 40},
                         "max_output_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 8}},
    "EmbeddingRequest": {"model": {"enum": ["primary", None]}, "dimensions": {"enum": [1, 64, None]}},
    "TokenizeRequest": {"model": {"enum": ["primary", None]}},
    "DetokenizeRequest": {"model": {"enum": ["primary", None]}},
}


def narrow(document, n_vocab):
    schemas = document["components"]["schemas"]
    for name, members in NARROW.items():
        for member, schema in members.items():
            assert member in schemas[name]["properties"], f"{name}.{member} is not described any more"
            schemas[name]["properties"][member] = schema
    schemas["TokenId"]["maximum"] = n_vocab - 1
    # What might not fit in the context.
    schemas["ChatRequest"]["properties"]["messages"]["maxItems"] = 3
    for name in ("ChatRequest", "ResponsesRequest"):
        schemas[name]["properties"]["tools"]["maxItems"] = 2
    schemas["ChatRequest"]["properties"]["functions"]["maxItems"] = 2
    schemas["Prompt"]["anyOf"] = [dict(SHORT, minLength=1), {"type": "array", "minItems": 1, "maxItems": 9, "items": {"$ref": "#/components/schemas/TokenId"}}]
    schemas["Text"] = {"anyOf": [SHORT, {"type": "array", "maxItems": 2, "items": {"type": "object", "required": ["type", "text"], "properties": {
        "type": {"enum": ["text", "input_text", "output_text"]}, "text": SHORT}}}]}
    schemas["ResponsesRequest"]["properties"]["input"]["anyOf"] = [SHORT, {"type": "array", "minItems": 1, "maxItems": 3, "items": {
        "$ref": "#/components/schemas/Item"}, "contains": {"properties": {"type": {"not": {"const": "reasoning"}}}}}]
    schemas["JsonSchema"] = SCHEMAS
    schemas["JsonSchemaOrText"] = {"anyOf": [NOTHING, {"$ref": "#/components/schemas/JsonSchema"}]}
    return document


def vocabulary(s):
    """How many tokens the model has: the first id that is refused."""
    low, high = 0, 1 << 20
    while low < high:
        middle = (low + high) // 2
        known = s.request("POST", "/detokenize", {"tokens": [middle]}, HEADERS).status == 200
        low, high = (middle + 1, high) if known else (low, middle)
    return low


def conforms(s, schemathesis, mode):
    """mode negative: what the schemas do not allow, by the whole description; positive: what they do, narrowed."""
    document = s.request("GET", "/openapi.json", headers=HEADERS).json()
    document["security"] = [{"key": []}]        # this server has keys, so they are no choice
    if mode == "positive":
        narrow(document, vocabulary(s))
    path = os.path.join(s.dir, mode + ".json")
    with open(path, "w") as f:
        json.dump(document, f)
    many = os.environ.get("AIRSTRIP_SCHEMATHESIS")
    command = [schemathesis, "run", path, "--url", s.url, "--header", "Authorization: " + HEADERS["Authorization"], "--checks", "all", "--mode", mode,
               "--phases", "examples,coverage,fuzzing" if many else "examples,fuzzing", "--max-examples", many or "8",
               "--seed", os.environ.get("AIRSTRIP_SEED", "7"), "--workers", "2", "--continue-on-failure", "--no-color",
               "--generation-database", "none", "--generation-allow-x00", "false"]    # no key may have a NUL, whatever it is called
    command += ["--exclude-path-regex", "^/v1/selftest"]        # it is there to be silent for as long as it is asked to
    if mode == "negative":      # control characters in an address never come as far as the program: lighttpd refuses them with a page of its own
        command += [x for path in ("/v1/models/{id}", "/status", "/props", "/slots") for x in ("--exclude-path", path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, cwd=s.dir)
    print("# " + "\n# ".join(line.strip() for line in done.stdout.splitlines() if "generated" in line or "Seed" in line))
    found = done.stdout.find("= FAILURES")
    tap.equal(done.returncode, 0, f"schemathesis finds nothing, {mode}", *done.stdout[max(found, 0):].splitlines()[:300], done.stderr[-1500:])


def run(folder, schemathesis):
    keys = os.path.join(folder, "keys")
    with open(keys, "w") as f:
        f.write(key_line("one", KEY))
    options = ["--chat-template", TEMPLATE, "--default-max-tokens", "4", "--max-choices", "128", "--api-keys", keys]
    with Stack("lighttpd", options=options) as s:
        for mode in ("positive", "negative"):
            tap.attempt(conforms, s, schemathesis, mode)
        status = s.request("GET", "/health", headers=HEADERS).json()["models"][0]
        tap.equal((status["running"], status["waiting"]), (0, 0), "nothing is left behind")


def main():
    python, why = environment("first")
    if not python:
        tap.skip("schemathesis", why)
        tap.done()
    with tempfile.TemporaryDirectory() as folder:
        run(folder, os.path.join(os.path.dirname(python), "schemathesis"))
    tap.done()


if __name__ == "__main__":
    main()
