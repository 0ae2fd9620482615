"""/metrics, read by prometheus_client's parser and compared with what was asked; the dashboard names only what is there."""
import json
import os
import re

from program import Program, chat, endless
from stack import SMOLLM2, TOP, Stack, wait_until
import tap

try:
    from prometheus_client.parser import text_string_to_metric_families as parse
except ImportError:
    tap.skip("metrics", "the Python package prometheus_client is not there")
    tap.done()

# Names that others gave to the same things: vLLM's documentation of its metrics, llama-server's README.
VLLM = """num_requests_running num_requests_waiting kv_cache_usage_perc num_preemptions prompt_tokens generation_tokens
prefix_cache_queries prefix_cache_hits spec_decode_num_draft_tokens spec_decode_num_accepted_tokens request_success
time_to_first_token_seconds inter_token_latency_seconds e2e_request_latency_seconds request_queue_time_seconds
request_prefill_time_seconds request_decode_time_seconds request_prompt_tokens request_generation_tokens""".split()
LLAMA = "prompt_tokens tokens_predicted requests_processing requests_deferred".split()


def read(p):
    """{(name, labels without le): value} of all samples, and the families."""
    a = p.get("/metrics")
    families = list(parse(a.body.decode()))
    samples = {}
    for family in families:
        for s in family.samples:
            samples[s.name, tuple(sorted(s.labels.items()))] = s.value
    return samples, families, a


def value(samples, name, **labels):
    return samples[name, tuple(sorted(dict({"model_name": "primary"}, **labels).items()))]


def format_and_names(p):
    samples, families, a = read(p)
    tap.equal((a.status, a.headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"), "/metrics: status and type")
    names = {f.name for f in families}
    missing = [n for n in ["vllm:" + n for n in VLLM] + ["llamacpp:" + n for n in LLAMA] if n not in names]
    tap.equal(missing, [], f"names of vLLM and llama-server, as prometheus_client reads them ({len(families)} families)")
    tap.equal([f.name for f in families if f.type == "unknown" or not f.documentation], [], "every family has a type and a help text")
    text = a.body.decode()
    heads = re.findall(r"^# TYPE (\S+)", text, re.M)
    tap.equal(len(heads), len(set(heads)), "no family stands twice")
    for f in families:
        if f.type != "histogram":
            continue
        buckets = [s for s in f.samples if s.name.endswith("_bucket")]
        bounds = [float(s.labels["le"]) for s in buckets]
        counts = [s.value for s in buckets]
        count = [s.value for s in f.samples if s.name.endswith("_count")][0]
        if not (bounds == sorted(set(bounds)) and bounds[-1] == float("inf") and counts == sorted(counts) and counts[-1] == count):
            tap.ok(False, f"{f.name}: bounds and counts rise up to +Inf", bounds, counts, count)
            return
    tap.ok(True, "in every histogram bounds and counts rise, up to +Inf and the count")


def numbers(p):
    before, _, _ = read(p)
    prompt = completion = 0
    for i in range(3):
        usage = p.post(chat(max_tokens=20)).json()["usage"]
        prompt, completion = prompt + usage["prompt_tokens"], completion + usage["completion_tokens"]
    s = p.stream(chat(max_tokens=30))
    s.finish()
    completion += 30
    # The last that is counted of a request (fcgi/tally.c).
    wait_until(lambda: value(read(p)[0], "vllm:request_generation_tokens_count") - value(before, "vllm:request_generation_tokens_count") == 4, 20)
    after, _, _ = read(p)

    def grown(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)
    prompt = prompt // 3 * 4
    tap.equal((grown("vllm:prompt_tokens_total"), grown("vllm:generation_tokens_total")), (prompt, completion),
              "tokens of prompts and answers as usage says")
    tap.equal(grown("llamacpp:prompt_tokens_total") + grown("vllm:prefix_cache_hits_total"), prompt,
              "what was evaluated and what was found in the cache make the prompts")
    tap.ok(grown("vllm:prefix_cache_hits_total") > 0, "the second prompt is found in the cache")
    for name in ("time_to_first_token", "e2e_request_latency", "request_queue_time", "request_prefill_time", "request_decode_time"):
        if grown(f"vllm:{name}_seconds_count") != 4:
            tap.ok(False, f"{name} counts requests", grown(f"vllm:{name}_seconds_count"))
    gaps = grown("vllm:inter_token_latency_seconds_count")
    tap.ok(completion / 2 < gaps <= completion - 4, f"gaps between tokens: {gaps:.0f} for {completion} tokens in 4 answers")
    total, first, gap = (grown(f"vllm:{n}_seconds_sum") for n in ("e2e_request_latency", "time_to_first_token", "inter_token_latency"))
    tap.ok(0 < first + gap <= total * 1.001, "first token and gaps add up to no more than the whole", first, gap, total)
    tap.equal((grown("vllm:request_prompt_tokens_sum"), grown("vllm:request_generation_tokens_sum")), (prompt, completion),
              "histograms of tokens have the same sums")
    tap.equal(grown("vllm:request_success_total", finished_reason="length"), 4, "four answers ended for length")


def leaving_and_waiting(p):
    """--max-batch-size 1, --max-queued-requests 1."""
    before, _, _ = read(p)
    held = p.stream(endless())
    held.wait_for(b'"delta":{"content":"')
    queued = p.stream(chat(max_tokens=5))
    tap.ok(wait_until(lambda: value(read(p)[0], "vllm:num_requests_waiting") == 1, 5), "one that waits is counted")
    wait_until(lambda: value(read(p)[0], "vllm:kv_cache_usage_perc") > 0, 5)
    now, _, _ = read(p)
    tap.ok(value(now, "vllm:num_requests_running") == 1 and value(now, "llamacpp:requests_deferred") == 1 and
           0 < value(now, "vllm:kv_cache_usage_perc") <= 1, "and so are one that runs and its pages", p.health(), p.read_log()[-1500:])
    refused = p.post(chat())
    tap.equal((refused.status, refused.json()["error"]["code"]), (503, "server_overloaded"), "beyond the queue: 503")
    held.close()
    tap.ok(queued.finish().body.endswith(b"data: [DONE]\n\n"), "when its client leaves the next one runs")
    tap.ok(wait_until(lambda: value(read(p)[0], "airstrip:sequences_cancelled_total") - value(before, "airstrip:sequences_cancelled_total") == 1, 5),
           "the one that left is counted as cancelled")

    def aborted(samples):
        return value(samples, "vllm:request_success_total", finished_reason="abort")
    # The engine counts first, then the thread that served it.
    wait_until(lambda: aborted(read(p)[0]) > aborted(before) and read(p)[0]["airstrip:requests_cancelled_total", ()] >
               before["airstrip:requests_cancelled_total", ()], 20)
    after, _, _ = read(p)
    tap.equal([after[n] - before[n] for n in ((("airstrip:requests_cancelled_total"), ()),
                                              ("airstrip:requests_rejected_total", (("reason", "overloaded"),)))], [1, 1],
              "as a request, and the other as rejected")
    tap.equal(aborted(after) - aborted(before), 1, "and as an answer that ended in abort")
    told = ("airstrip:responses_total", (("code", "503"),))
    tap.equal(after[told] - before.get(told, 0), 1, "answers are counted by status")


def dashboard(p):
    """Every metric that an expression of the dashboard names is on the page."""
    document = json.load(open(os.path.join(TOP, "conf", "grafana.json")))
    _, families, _ = read(p)
    known = {s.name for f in families for s in f.samples}
    panels = [q for panel in document["panels"] for q in [panel] + panel.get("panels", [])]
    expressions = [t["expr"] for panel in panels for t in panel.get("targets", [])]
    expressions += [v["query"] for v in document["templating"]["list"] if isinstance(v.get("query"), str) and "(" in v["query"]]
    named = {n for e in expressions for n in re.findall(r"\b(?:vllm|llamacpp|airstrip):\w+|\bprocess_\w+", e)}
    tap.ok(len(expressions) >= 10 and named and not named - known, f"the dashboard's {len(named)} metrics exist", named - known)
    ids = [panel["id"] for panel in panels]
    cells = [(x, y) for q in document["panels"] for x in range(q["gridPos"]["x"], q["gridPos"]["x"] + q["gridPos"]["w"])
             for y in range(q["gridPos"]["y"], q["gridPos"]["y"] + q["gridPos"]["h"])]
    tap.ok(len(ids) == len(set(ids)) and len(cells) == len(set(cells)), "panels have numbers of their own and do not overlap")


def behind_a_server():
    with Stack("nginx") as s:
        a = s.request("GET", "/metrics")
        tap.ok(a.status == 200 and list(parse(a.body.decode())), "/metrics through nginx", a.status)


if not SMOLLM2:
    tap.skip("metrics", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
with Program("--max-batch-size", "1", "--max-queued-requests", "1") as server:
    for test in (format_and_names, numbers, leaving_and_waiting, dashboard):
        tap.attempt(test, server)
tap.attempt(behind_a_server)
tap.done()
