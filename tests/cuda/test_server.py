"""The program on a simulated device, over its FastCGI socket: batches, preemption, no memory, a device that is lost."""
import json
import os
import re
import signal
import tempfile

from program import MODEL, PROMPTS, Program, fcgi, text
from stack import in_threads, wait_until
import tap


def batches():
    with Program("--max-batch-size", "6") as p:
        tap.ok(" backend=cuda " in p.read_log(), "the log says that CUDA does it", p.read_log())
        tap.ok("no filter of system calls" in p.read_log() and "on device cuda" in p.read_log(), "and that it filters no system calls then")
        alone = [text(p.ask(ids)) for ids in PROMPTS]
        together = in_threads([lambda ids=ids: text(p.ask(ids)) for ids in PROMPTS])
        tap.equal(together, alone, "six at once say what each says alone")
        streamed = p.ask(PROMPTS[2], stream=True).body.decode()
        joined = "".join(c["text"] for e in re.findall(r"data: (\{.*)", streamed) for c in json.loads(e)["choices"])
        tap.equal(joined, alone[2], "a stream says the same")
        tap.equal(text(p.ask(PROMPTS[2])), alone[2], "and so does a prompt that is in the cache")
        tap.equal(p.stop(), 0, "no findings, no leaks", p.said)


def few_pages():
    """Keys and values of two sequences at most: the others wait, or give up their pages and come again."""
    with Program("--max-batch-size", "6", "--kv-cache-size", "64K", "--max-sequence-length", "256") as p:
        alone = [text(p.ask(ids, 60)) for ids in PROMPTS]
        together = in_threads([lambda ids=ids: text(p.ask(ids, 60)) for ids in PROMPTS])
        tap.equal(together, alone, "six in the memory of two say what each says alone")
        tap.equal(p.stop(), 0, "no findings, no leaks", p.said)


def logprobs(answer):
    return answer.json()["choices"][0]["logprobs"] if answer.status == 200 else answer.body


def best_tokens():
    """The likeliest tokens are found on the device: as the sampler finds them by all logits, which a penalty brings here."""
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for more in ({}, {"logit_bias": {"3": 0}}):
            counters = os.path.join(folder, "counters")
            with Program(CUDASIM_COUNTERS=counters) as p:
                answers = [p.ask(PROMPTS[1], 40, logprobs=k, **more) for k in (0, 1, 5)]
                tap.equal(p.stop(), 0, "no findings, no leaks", p.said)
            copies.append((figures(counters)[0], [logprobs(a) for a in answers], [text(a) for a in answers]))
    (few, device, its_text), (all_of_them, host, hosts_text) = copies
    tap.equal(its_text, hosts_text, "the same text as by all logits")
    tap.equal([[list(t) for t in a["top_logprobs"]] for a in device], [[list(t) for t in a["top_logprobs"]] for a in host],
              "the same likeliest tokens, in their order")
    worst = max(abs(x - y) for a, b in zip(device, host) for x, y in zip(a["token_logprobs"], b["token_logprobs"]))
    tap.ok(worst < 1e-5, f"and their log-probabilities ({worst:.1e})")
    tap.ok(few < all_of_them / 4, f"for {few} bytes that came to the host, all logits are {all_of_them}")


def figures(path):
    """Bytes that came to the host, and launches of graphs, of a simulated device."""
    words = open(path).read().split()
    os.unlink(path)
    return int(words[0]), int(words[7])


def graphs():
    """Steps of generated rows as graphs and without: the same bits, beside others and alone, while sequences grow."""
    said = []
    with tempfile.TemporaryDirectory() as folder:
        counters = os.path.join(folder, "counters")
        for on in ("1", "0"):
            with Program("--max-batch-size", "6", CUDASIM_COUNTERS=counters, AIRSTRIP_CUDA_GRAPHS=on) as p:
                answers = in_threads([lambda ids=ids: p.ask(ids, 30, logprobs=2) for ids in PROMPTS])
                answers += [p.ask(ids, 30, logprobs=2) for ids in PROMPTS[4:]]
                tap.equal(p.stop(), 0, "no findings, no leaks", p.said)
            said.append([(text(a), logprobs(a)["token_logprobs"]) for a in answers])
            launched = figures(counters)[1]
            tap.ok(launched > 40 if on == "1" else launched == 0, f"AIRSTRIP_CUDA_GRAPHS={on}: {launched} graphs launched")
    tap.equal(said[0], said[1], "the same text, the same log-probabilities to the last digit")


def too_large():
    """A model that the device has no memory for: the last layers there, the others on the host."""
    def answers(p):
        return [p.ask(ids, 30, logprobs=0) for ids in PROMPTS[2:4]]

    # keys in float32: rounded to 16 bits, one that differs in its last bit can fall on the other side
    small = ["--max-sequence-length", "256", "--max-batch-size", "2", "--prefill-chunk-size", "32", "--kv-cache-type", "f32"]
    with Program(*small) as p:
        whole = answers(p)
        tap.ok("event=split" not in p.read_log(), "with memory for all nothing is split")
    least_kib = 34600  # what a device needs to work in, and not much more
    with Program(*small, CUDASIM_MEM_KB=str(least_kib)) as p:
        said = re.search(r"needs (\d+) bytes of device memory, its head and one layer (\d+); (\d+) are free", p.read_log())
        tap.ok(said, "no memory for one layer: the sentence with needed and free bytes", p.read_log())
    everything, one, free = map(int, said.groups())
    met = {}
    for part in (0.2, 0.5, 0.8):
        kib = least_kib + int((one + part * (everything - one) - free) / 1024 * 64 / 63)
        with Program(*small, CUDASIM_MEM_KB=str(kib)) as p:
            split = re.search(r"layers_on_device=(\d+) layers_on_host=(\d+)", p.read_log())
            if not split or split[0] in met:
                continue
            met[split[0]] = answers(p)
            tap.equal([text(a) for a in met[split[0]]], [text(a) for a in whole], f"{split[0]}: the same text")
            tap.equal(p.stop(), 0, "no findings, no leaks", p.said)
    tap.ok(met, "there was a split")


def chosen_device():
    with Program(CUDASIM_DEVICES="3", TAKEOFF_CUDA_VISIBLE_DEVICES="2,0", CUDA_VISIBLE_DEVICES="0") as p:
        tap.ok("simulated sm_90 number 2" in p.read_log(), "TAKEOFF_CUDA_VISIBLE_DEVICES says which device it is", p.read_log())
    with Program(CUDASIM_DEVICES="3", TAKEOFF_CUDA_VISIBLE_DEVICES="3") as p:
        tap.ok(p.stop() != 0 and "there is no CUDA device" in p.said, "and that there is none", p.said)


def no_memory():
    """Each allocation in turn fails: a sentence and no leak, until the program gets through."""
    told, through = 0, False
    for k in range(200):
        with Program(CUDASIM_FAIL_MALLOC=str(k)) as p:
            through = p.ready()
            log = p.read_log()
            status = p.stop()
            if through:
                break
            told += 1
            if not (re.search(r"needs \d+ bytes of device memory", log) and "finding" not in p.said):
                tap.ok(False, f"allocation {k} fails: a sentence, no finding", log[-2000:], p.said)
                return
    tap.ok(told > 5 and through, f"{told} allocations, each failing in turn: the sentence with needed and free bytes, no leak")
    with Program(CUDASIM_MEM_MB="1") as p:
        tap.ok(not p.ready() and "free" in p.read_log(), "a device too small: says what is needed and free", p.read_log())


def lost_device():
    with Program(CUDASIM_LOSE_AFTER="400") as p:
        last = p.ask_until_lost()
        tap.ok("internal_error" in last and "[DONE]" not in last, "the request under way ends with an error event", last[-600:])
        tap.ok(wait_until(lambda: fcgi.request(p.socket, "GET", "/readyz").status != 200, 5), "it is not ready any more")
        after = p.ask(PROMPTS[0])
        tap.ok(after.status == 500 and "internal_error" in after.body.decode(), "a new request is refused", after.status, after.body)
        tap.ok("simulated sm_90 has failed: an illegal memory access" in p.read_log(), "the log has the reason", p.read_log()[-800:])
    with Program("--stall-exit", "on", CUDASIM_LOSE_AFTER="400") as p:
        def asked():
            try:
                return p.ask(PROMPTS[1], 30).status
            except OSError:
                return 0
        tap.ok(wait_until(lambda: asked() != 200, 60), "lost again")
        tap.ok(wait_until(lambda: p.process.poll() is not None, 30) and p.process.returncode == 1,
               "stall_exit = on: the program ends with 1, for its supervisor to start it anew", p.read_log()[-800:])


def by_sighup():
    """A program that filters system calls has none of a GPU's: a model for one is refused, the others serve on."""
    one = f"[model one]\nmodel = {MODEL}\ndevice = cpu\n"
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "airstrip.conf")
        with open(config, "w") as f:
            f.write(one)
        with Program(config=config) as p:
            if "system calls that serving does not need are refused" not in p.read_log():
                tap.skip("a model on a GPU comes by SIGHUP", "this system has no filter of system calls")
                return
            with open(config, "a") as f:
                f.write(f"[model two]\nmodel = {MODEL}\ndevice = cuda\n")
            p.process.send_signal(signal.SIGHUP)
            said = "device cuda: system calls are filtered since the program serves models on the CPU only; restart it"
            tap.ok(wait_until(lambda: said in p.read_log(), 60), "a model on a GPU that comes by SIGHUP is refused with the reason", p.read_log())
            tap.equal(p.ask(PROMPTS[1], model="one").status, 200, "the other one serves")
            tap.ok(p.ask(PROMPTS[1], model="two").status >= 400, "it does not")
            tap.equal(p.stop(), 0, "no findings, no leaks", p.said)


for test in (by_sighup, batches, few_pages, best_tokens, graphs, too_large, chosen_device, no_memory, lost_device):
    tap.attempt(test)
tap.done()
