"""takeoff-client: both ways of generating, embeddings, tokens, templates, and management, against the ports given: inference, management,
OpenAI.  The last argument is a model that is added and removed."""
import loopback
from loopback import tap
import asyncio
import json
import sys
import threading

from takeoff_client import TakeoffClient
from takeoff_client.exceptions import TakeoffException

ports, extra = [int(a) for a in sys.argv[1:4]], sys.argv[4]
client = TakeoffClient(base_url="http://127.0.0.1", port=ports[0], mgmt_port=ports[1], oai_port=ports[2])
PROMPT = "The first ten letters of the alphabet are A, B, C,"


def refused(call, *args, **kwargs):
    """The status and the message of the error that must come."""
    try:
        return 200, call(*args, **kwargs)
    except TakeoffException as e:
        text = str(e)
        return e.status_code, json.loads(text[text.index("{"):])["error"]["message"] if "{" in text else text


def generate():
    a = client.generate(PROMPT, max_new_tokens=24)
    tap.ok(set(a) == {"text"} and isinstance(a["text"], str) and a["text"], "generate() gives a text", a)
    tap.equal(client.generate(PROMPT, max_new_tokens=24), a, "the same one each time: without sampling_topk it is greedy")
    events = list(client.generate_stream(PROMPT, max_new_tokens=24))
    tap.equal("".join(e.data for e in events), a["text"], f"generate_stream(): {len(events)} events are the same text")
    tap.ok(len(events) > 3, "and they are several")

    texts = [PROMPT, "One, two, three,\nfour,", "Paris is the capital of"]
    many = client.generate(texts, max_new_tokens=12)["text"]
    tap.ok(isinstance(many, list) and len(many) == 3 and a["text"].startswith(many[0]), "generate() of three texts gives three", many)
    parts = ["", "", ""]
    for e in client.generate_stream(texts, max_new_tokens=12):
        data = json.loads(e.data)
        parts[data["batch_id"]] += data["text"]
    tap.equal(parts, many, "streamed, each part says which text it belongs to")

    a = client.generate(PROMPT, max_new_tokens=7, min_new_tokens=7, return_metadata=True)
    tap.equal((a["metadata"]["generated_tokens"], a["metadata"]["finish_reason"]), (7, "length"), "return_metadata counts tokens")
    events = list(client.generate_stream(PROMPT, max_new_tokens=7, return_metadata=True))
    tap.ok(events[-1].event == "metadata" and json.loads(events[-1].data)["metadata"]["generated_tokens"] == 7 and
           "".join(e.data for e in events[:-1]) == a["text"], "streamed, it is the last event", [e.data for e in events])
    several = [client.generate(PROMPT, max_new_tokens=30, sampling_topk=50, sampling_temperature=1.5)["text"] for _ in range(4)]
    tap.ok(len(set(several)) > 1, "with sampling_topk and a temperature texts differ", several)
    lines = client.generate("Count:\n1\n2\n3\n", max_new_tokens=12)["text"]
    streamed = "".join(e.data for e in client.generate_stream("Count:\n1\n2\n3\n", max_new_tokens=12))
    tap.ok("\n" in lines and streamed == lines, "lines come through a stream as they are", lines, streamed)


def shaped():
    a = client.generate("A number: ", regex_string="[1-9]{4}", json_schema={"type": "object"})
    tap.ok(len(a["text"]) == 4 and a["text"].isdigit(), "regex_string is kept to, and json_schema then disregarded", a)
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"], "additionalProperties": False}
    a = json.loads(client.generate("Ada is 36. As JSON: ", json_schema=schema, constrained_decoding_backend="outlines")["text"])
    tap.ok(set(a) == {"age"} and isinstance(a["age"], int), "so is json_schema", a)
    again = "one two three one two three one two three"
    long = client.generate(again, max_new_tokens=40, min_new_tokens=40)["text"]
    reader = client.get_readers()["primary"][0]["reader_id"]

    def runs(text, n):
        tokens = client.tokenize(text, reader, use_chat_template=False)
        return [tuple(tokens[i:i + n]) for i in range(len(tokens) - n + 1)]
    tap.ok(len(set(runs(long, 3))) < len(runs(long, 3)), "a greedy answer repeats runs of three tokens")
    once = client.generate(again, max_new_tokens=40, min_new_tokens=40, no_repeat_ngram_size=3)["text"]
    tap.equal(len(set(runs(once, 3))), len(runs(once, 3)), "with no_repeat_ngram_size=3 it does not")
    tap.ok(client.generate(again, max_new_tokens=40, min_new_tokens=40, repetition_penalty=1.5)["text"] != long, "repetition_penalty changes it")
    first = client.generate("Paris is the capital of", max_new_tokens=8)
    cut = client.generate("Paris is the capital of", max_new_tokens=8, prompt_max_tokens=2)
    tap.ok(cut != first and client.generate(client.detokenize(client.tokenize("Paris is the capital of", reader, use_chat_template=False)[:2],
                                                              reader), max_new_tokens=8) == cut,
           "prompt_max_tokens leaves the prompt's beginning", first, cut)
    tap.ok(client.generate("Hello", max_new_tokens=8, use_chat_template=True) != client.generate("Hello", max_new_tokens=8),
           "use_chat_template makes a chat of it")


def tokens():
    reader = client.get_readers()["primary"][0]["reader_id"]
    text = "Fish are nutritious, aren't they?"
    found = client.tokenize(text, reader, use_chat_template=False)
    tap.ok(found[0] == "Fish" and found[1].endswith("are") and len(found[1]) == 4, "tokenize() spells tokens as the vocabulary does", found)
    tap.equal(client.tokens_count(text, reader), len(found), "tokens_count()")
    tap.equal(client.detokenize(found, reader), text, "detokenize() of tokens")
    chat = client.tokenize("Hello", reader)
    tap.ok("<|im_start|>" in chat and len(chat) > 5, "tokenize() of a chat", chat)
    messages = [{"role": "user", "content": "Hello"}]
    prompt, other = client.chat_template([messages, messages * 2], reader)
    tap.ok(prompt.endswith("Hello<|im_end|>\n") and len(other) > len(prompt), "chat_template()", prompt, other)
    asked = client.chat_template(messages, reader, add_generation_prompt=True)[0]
    tap.equal(asked, prompt + "<|im_start|>assistant\n", "with the answer's beginning")
    ids = [1, 9906, 2]
    tap.ok(client.detokenize(ids, reader, skip_special_tokens=False) != client.detokenize(ids, reader), "control tokens are left out unless asked for")


def vectors():
    a = client.embed(["one", "two"], consumer_group="embed")
    tap.equal(([d["index"] for d in a["data"]], {len(d["embedding"]) for d in a["data"]}), ([0, 1], {384}), "embed() of two texts")


def asynchronous():
    async def all():
        events = [e.data async for e in client.generate_stream_async(PROMPT, max_new_tokens=12)]
        return (await client.generate_async(PROMPT, max_new_tokens=12))["text"], "".join(events), await client.get_readers_async()
    text, streamed, readers = asyncio.run(all())
    tap.ok(text and text == streamed and set(readers) == {"primary", "embed"}, "the same asynchronously", text, streamed, readers)


def wrong():
    cases = [(lambda: client.generate(""), "text: expected a string that is not empty"),
             (lambda: client.generate([]), "text: expected a string, or an array"),
             (lambda: client.generate("x", sampling_temperature=9), "sampling_temperature: expected a number between 0 and 2"),
             (lambda: client.generate("x", max_new_tokens=-1), "max_new_tokens: expected a whole number"),
             (lambda: client.generate("x", min_new_tokens=200), "min_new_tokens: expected at most max_new_tokens, which is 128"),
             (lambda: client.generate("x", regex_string="("), "regex_string: "),
             (lambda: client.generate("x", json_schema={"type": "nothing"}), "json_schema"),
             (lambda: client.generate("x", lora_id="a"), "lora_id: adapters are not supported"),
             (lambda: list(client.generate_stream("x", sampling_topk="many")), "sampling_topk: expected a whole number"),
             (lambda: client.generate("x", consumer_group="embed"), "cannot write text"),
             (lambda: client.classify("x"), "classification and reranking are not supported"),
             (lambda: client.detokenize(["no such token, surely"], "writer"), "is no token of this reader's vocabulary"),
             (lambda: client.create_reader({"model_name": "/nowhere", "device": "cpu", "consumer_group": "x"}), "/nowhere"),
             (lambda: client.create_reader({"model_name": extra, "device": "cpu", "consumer_group": "x y"}), "expected a model name"),
             (lambda: client.create_reader({"model_name": extra, "device": "cpu", "consumer_group": "x", "tensor_parallel": 2}),
              "tensor_parallel: is not for device cpu")]
    for i, (call, words) in enumerate(cases):
        status, message = refused(call)
        tap.ok(status == 400 and words in message, f"wrong request {i + 1}: {message}", status)
    for call in (lambda: client.generate("x", consumer_group="nobody"), lambda: client.tokens_count("x", "nobody"),
                 lambda: client.delete_reader("nobody"), lambda: client.get_reader_config("nobody")):
        status, message = refused(call)
        tap.ok(status == 404 and "nobody" in message, f"404: {message}", status)


def manage():
    """A model comes and goes while streams of both groups run."""
    before = client.get_readers()
    tap.equal({g: [r["reader_id"] for r in readers] for g, readers in before.items()}, {"primary": ["writer"], "embed": ["vectors"]},
              "two readers in two groups")
    tap.ok(set(client.get_status()["live_readers"]) == {"writer", "vectors"}, "get_status()", client.get_status())
    whole, streams = client.generate(PROMPT, max_new_tokens=300, min_new_tokens=300)["text"], []

    def stream():
        try:
            streams.append("".join(e.data for e in client.generate_stream(PROMPT, max_new_tokens=300, min_new_tokens=300)))
        except Exception as e:
            streams.append(repr(e))
    threads = [threading.Thread(target=stream) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(2):
        made = client.create_reader({"model_name": extra, "device": "cpu", "consumer_group": "other", "max_batch_size": 2})
        tap.equal((made["reader_id"], made["consumer_group"]), ("other", "other"), "create_reader() says what it is called")
        config = client.get_reader_config("other")
        tap.ok(config["max_batch_size"] == 2 and config["model_name"] == extra and config["vocab_size"] > 0, "get_reader_config()", config)
        tap.ok(client.generate("Hello", max_new_tokens=4, consumer_group="other")["text"], "the new reader answers at once")
        second = client.create_reader({"model_name": extra, "device": "cpu", "consumer_group": "other"})["reader_id"]
        tap.equal([r["reader_id"] for r in client.get_readers()["other"]], ["other", second], "a second one shares its group")
        for name in ("other", second):
            client.delete_reader(name)
        status, message = refused(lambda: client.generate("Hello", consumer_group="other"))
        tap.ok(status == 404 and "other" not in client.get_readers(), f"delete_reader(): {message}")
    for t in threads:
        t.join()
    tap.equal(streams, [whole] * 4, "streams that ran meanwhile are whole")
    tap.equal(client.get_readers(), before, "and all is as it was")


for part in (generate, shaped, tokens, vectors, asynchronous, wrong, manage):
    tap.attempt(part)
loopback.done()
