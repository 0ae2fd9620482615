"""What a user of Takeoff brings along as configuration: a manifest as it is, and what takeoff2airstrip makes of one or of a command line."""
from concurrent.futures import ThreadPoolExecutor
import json
import os
import re
import shutil
import subprocess
import tempfile

from program import Program, chat
from stack import SMOLLM2, TOP, program, wait_until
import tap
from test_clients import environment

SECRET = "hf_NotToBeSeenAnywhere"
ORG = {"TAKEOFF_DEVICE": "cpu", "TAKEOFF_MODEL_NAME": "org/tiny"}
# Of the page that Airstrip was asked for, and of documentation and scripts as people write them: what it is, how it is written, what must
# be in the configuration and what must not, and what has no equal.  @HOME, @PWD and @MODELS stand for folders of the test.
COMMANDS = [
    ("the page's first", "docker run -it --gpus all -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cuda "
     "-e TAKEOFF_MAX_SEQUENCE_LENGTH=1024 -p 3000:3000 -p 3003:3003 -v @HOME/.takeoff_cache:/code/models tytn/takeoff-pro:0.21.2-gpu",
     ["[model primary]", "model = org/tiny", "device = cuda", "max_sequence_length = 1024", "models_dir = @HOME/.takeoff_cache",
      "takeoff = on", "# OpenAI's API was on port 3003: as in the sample files for web servers.",
      "# Takeoff's own API was on port 3000: as in the sample files for web servers in the folder takeoff."], ["group", "kv_cache"], []),
    ("only OpenAI's port", "docker run -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu -p 8080:3003 tytn/takeoff:latest-cpu",
     ["# OpenAI's API was on port 8080: write that port into the web server's file, for 3003."], ["takeoff = on", "own API"], []),
    ("an address before the port", "docker run -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu -p 127.0.0.1:8081:3003/tcp takeoff",
     ["port 8081"], [], []),
    ("a range of ports", "docker run -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu -p 13000-13003:3000-3003 takeoff",
     ["port 13003", "port 13001", "port 13000"], [], []),
    ("a port by Takeoff's own variable", "docker run -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu -e TAKEOFF_OPENAI_PORT=9000 "
     "-p 80:9000 takeoff", ["OpenAI's API was on port 80:"], [], ["openai_port has no effect here"]),
    ("the host's network", "docker run --network host -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu takeoff",
     ["port 3003", "port 3000", "takeoff = on"], [], []),
    ("lines that go on, comments, sudo", "#!/bin/bash\n# starts it\nset -e\nsudo docker run \\\n  --rm -it \\\n  -e TAKEOFF_MODEL_NAME=org/tiny \\\n"
     "  -e TAKEOFF_DEVICE=cpu \\\n  tytn/takeoff:0.21.2-cpu  # the end\n", ["model = org/tiny"], [], []),
    ("Windows' line ends", "docker run \\\r\n -e TAKEOFF_MODEL_NAME=org/tiny \\\r\n -e TAKEOFF_DEVICE=cpu takeoff\r\n", ["device = cpu"], [], []),
    ("PowerShell's lines that go on", "docker run `\r\n  -e TAKEOFF_MODEL_NAME=org/tiny `\r\n  -e TAKEOFF_DEVICE=cpu `\r\n  takeoff\r\n", ["device = cpu"], [], []),
    ("cmd's, and a prompt that was copied too", "$ docker run ^\n  -e TAKEOFF_MODEL_NAME=org/tiny ^\n  -e TAKEOFF_DEVICE=cpu ^\n  takeoff\n", ["device = cpu"], [], []),
    ("quotes of both kinds", "docker run -e \"TAKEOFF_MODEL_NAME=org/tiny\" -e 'TAKEOFF_DEVICE=cpu' --env TAKEOFF_CONSUMER_GROUP=\"chat\" takeoff",
     ["[model chat]", "model = org/tiny"], ["primary"], []),
    ("values that need quotes here", "docker run -e TAKEOFF_MODEL_NAME='a \"b\" \\ #c' -e TAKEOFF_DEVICE=cpu takeoff",
     ['model = "a \\"b\\" \\\\ #c"'], [], []),
    ("variables of the script", "export MODEL=org/tiny DEVICE=cpu\nNAME=tiny\ndocker run -e TAKEOFF_MODEL_NAME=$MODEL -e TAKEOFF_DEVICE=\"${DEVICE}\" "
     "--name $NAME -e LICENSE_KEY=$LICENSE_KEY takeoff", ["model = org/tiny", "device = cpu"], [],
     ["the variable LICENSE_KEY of the script is not set"]),
    ("variables passed on", "export TAKEOFF_MODEL_NAME=org/tiny\nTAKEOFF_DEVICE=cpu\ndocker run -e TAKEOFF_MODEL_NAME -e TAKEOFF_DEVICE --env NOT_THERE takeoff",
     ["model = org/tiny", "device = cpu"], ["NOT_THERE"], []),
    ("short options in one, without blanks", "docker run -itd -eTAKEOFF_MODEL_NAME=org/tiny -e=TAKEOFF_DEVICE=cpu -p3003:3003 -w /code -u 1000:1000 takeoff",
     ["model = org/tiny", "device = cpu", "port 3003"], [], []),
    ("long options with =", "docker run --detach --restart=unless-stopped --env=TAKEOFF_MODEL_NAME=org/tiny --env=TAKEOFF_DEVICE=cpu --shm-size=4gb "
     "--ipc=host --publish=3000:3000 --volume=@MODELS:/code/models --cpus=3 --log-opt max-size=10m takeoff",
     ["threads = 3", "models_dir = @MODELS", "takeoff = on"], [], []),
    ("a file of variables", "docker run --env-file @PWD/takeoff.env -e TAKEOFF_MAX_BATCH_SIZE=7 takeoff",
     ["model = org/tiny", "max_batch_size = 7", "max_queued_requests = 50", "log_level = WARNING"], [], ["LICENSE_KEY has no equal"]),
    ("a model below a mounted folder", "docker run -v @MODELS:/code/models:ro -v /:/everything -e TAKEOFF_MODEL_NAME=/code/models/org/tiny -e TAKEOFF_DEVICE=cpu takeoff",
     ["model = @MODELS/org/tiny"], [], []),
    ("--mount", "docker run --mount type=bind,source=@MODELS,target=/code/models,readonly -e TAKEOFF_MODEL_NAME=/code/models/org/tiny -e TAKEOFF_DEVICE=cpu takeoff",
     ["model = @MODELS/org/tiny", "models_dir = @MODELS"], [], []),
    ("the folder where one is", "docker run -v $(pwd)/m:/code/models -v \"$PWD/n\":/n -v `pwd`/o:/o -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu takeoff",
     ["models_dir = @PWD/m"], [], []),
    ("the home folder", "docker run -v ~/.takeoff_cache:/code/models -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu takeoff",
     ["models_dir = @HOME/.takeoff_cache"], [], []),
    ("a mounted manifest", "docker run -v @PWD/config.yaml:/code/config.yaml -v @MODELS:/code/models -e TAKEOFF_MAX_BATCH_SIZE=2 takeoff",
     ["[model reader1]", "[model reader2]", "group = primary", "group = embed", "max_batch_size = 2"], [], ["nickname is not known"]),
    ("devices", "docker run --gpus '\"device=1,3\"' -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cuda takeoff",
     ["# In the unit: Environment=CUDA_VISIBLE_DEVICES=1,3"], [], []),
    ("devices by Takeoff's variable", "docker run --gpus all -e TAKEOFF_CUDA_VISIBLE_DEVICES=0,1 -e TAKEOFF_DISABLE_CUDA_GRAPH=1 -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cuda takeoff",
     ["Environment=CUDA_VISIBLE_DEVICES=0,1", "Environment=AIRSTRIP_CUDA_GRAPHS=0"], [], []),
    ("devices, and nobody says that they are GPUs", "docker run -e TAKEOFF_CUDA_VISIBLE_DEVICES=1 -e TAKEOFF_MODEL_NAME=org/tiny takeoff",
     ["Environment=CUDA_VISIBLE_DEVICES=1"], [], ["TAKEOFF_DEVICE is not set"]),
    ("settings with an equal", "docker run -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu -e TAKEOFF_PAGE_CACHE_SIZE=90% -e TAKEOFF_PREFILL_CHUNK_SIZE=256 "
     "-e TAKEOFF_QUANTIZE_CACHE_BITS=8 -e TAKEOFF_BODY_SIZE_LIMIT_BYTES=4194304 -e TAKEOFF_MAX_QUEUED_REQUESTS=9 -e TAKEOFF_LOG_LEVEL=DEBUG takeoff",
     ["kv_cache_size = 90%", "prefill_chunk_size = 256", "kv_cache_type = q8_0", "body_size_limit = 4194304", "max_queued_requests = 9",
      "log_level = DEBUG"], [], []),
    ("settings without one", "docker run -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu -e TAKEOFF_BATCH_DURATION_MILLIS=50 -e TAKEOFF_QUANT_TYPE=awq "
     "-e TAKEOFF_REDIS_HOST=cache -e TAKEOFF_ECHO=true -e TAKEOFF_ENABLE_METRICS=true -e RUST_LOG=info -e TAKEOFF_COLOUR=blue takeoff", ["[model primary]"],
     ["enable_metrics"], ["batch_duration_millis has no effect", "quant_type has no effect", "redis_host has no effect", "echo has no effect",
                          "RUST_LOG has no equal", "TAKEOFF_COLOUR is not known"]),
    ("a secret", f"docker run -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu -e TAKEOFF_ACCESS_TOKEN={SECRET} -e LICENSE_KEY={SECRET} takeoff",
     ["[model primary]"], [SECRET], ["access_token has no effect", "LICENSE_KEY has no equal"]),
    ("podman, and a reader's name", "podman run --replace --tls-verify=false -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu -e TAKEOFF_READER_ID=left takeoff --verbose",
     ["[model left]", "group = primary"], [], ["what stands behind the image has no equal"]),
    ("another image", "docker container run -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_DEVICE=cpu registry.example/llm:1 | tee log", ["[model primary]"], [],
     ["the image registry.example/llm:1 does not look like Takeoff's"]),
    ("no device", "docker run -e TAKEOFF_MODEL_NAME=org/tiny takeoff", ["[model primary]"], ["\ndevice"], ["TAKEOFF_DEVICE is not set"]),
    ("a variable twice, and an empty one", "docker run -e TAKEOFF_MODEL_NAME=other -e TAKEOFF_DEVICE=cpu -e TAKEOFF_MODEL_NAME=org/tiny -e TAKEOFF_MAX_BATCH_SIZE= takeoff",
     ["model = org/tiny"], ["other", "max_batch_size"], []),
]
REFUSED = [
    ("docker run -e TAKEOFF_DEVICE=cpu takeoff", "there is no model: TAKEOFF_MODEL_NAME is not set"),
    ("docker run -e TAKEOFF_MODEL_NAME=m -e TAKEOFF_DEVICE=gpu takeoff", "device: expected cpu or cuda, found \"gpu\""),
    ("docker run -e TAKEOFF_MODEL_NAME=m -e TAKEOFF_DEVICE=api takeoff", "api (a remote model) is not offered"),
    ("docker run -e TAKEOFF_MODEL_NAME=m -e TAKEOFF_DEVICE=cuda -e TAKEOFF_TENSOR_PARALLEL=3 takeoff", "tensor_parallel: expected 1 or an even number"),
    ("docker run -e TAKEOFF_MODEL_NAME=m -e TAKEOFF_DEVICE=cpu -e TAKEOFF_MAX_BATCH_SIZE=x takeoff", "max_batch_size: expected a whole number"),
    ("docker run -e TAKEOFF_MODEL_NAME=m -e TAKEOFF_DEVICE=cpu -v @PWD/config.yaml:/code/config.yaml takeoff", "expected no reader beside those of the manifest"),
    ("docker run -v @PWD/not-there.yaml:/code/config.yaml takeoff", "not-there.yaml: No such file"),
    ("docker run --env-file @PWD/not-there takeoff", "not-there: No such file"),
    ("docker run -e TAKEOFF_MODEL_NAME=m -e TAKEOFF_DEVICE=cpu", "expected an image, found none"),
    ("docker run takeoff -e", "there is no model"),
    ("docker run -e", "-e: expected a value, found none"),
    ("docker run --volume", "--volume: expected a value, found none"),
    ("docker run -Z x takeoff", "-Z: expected an option of docker run"),
    ("docker run -e 'TAKEOFF_MODEL_NAME=m takeoff", "line 1: expected a closing '"),
    ("docker run \\\n -e \"TAKEOFF_MODEL_NAME=m takeoff", "line 2: expected a closing \""),
    ("docker run -e X=$(date) takeoff", "line 1: no command is run here"),
    ("docker build .\nls", "expected docker run, or the key takeoff of a manifest"),
    ("docker run -e 'TAKEOFF_MODEL_NAME=a\nb' -e TAKEOFF_DEVICE=cpu takeoff", "model: expected a value of one line"),
    ("takeoff:\n  readers_config: {}\n", "missing field server_config"),
    ("takeoff: {server_config: {}, readers_config: {}}\n", "there is no reader, and so no model"),
]
MANIFEST = f"""
takeoff:
  server_config:
    openai_port: 8003
    max_queued_requests: 123
  readers_config:
    reader1:
      model_name: {{model}}
      device: cpu
      consumer_group: primary
      max_sequence_length: 512
      max_batch_size: 3
      access_token: {SECRET}
      nickname: one
    reader2:
      model_name: {{model}}
      device: cpu
      consumer_group: {{second}}
      max_sequence_length: 256
"""


class Place:
    """A home, a folder to stand in, and a folder of models that has one."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="airstrip-convert-")
        self.home, self.here, self.models = (os.path.join(self.top, n) for n in ("home", "here", "models"))
        for folder in (self.home, self.here, self.models, os.path.join(self.models, "org"), os.path.join(self.here, "m"),
                       os.path.join(self.home, ".takeoff_cache")):
            os.mkdir(folder)
        for name in ("tiny.gguf", "org/tiny", "other.gguf"):
            os.symlink(SMOLLM2, os.path.join(self.models, name))
        self.write("takeoff.env", f"# of the operator\nTAKEOFF_MODEL_NAME=org/tiny\n\nTAKEOFF_DEVICE=cpu\nTAKEOFF_LOG_LEVEL=WARNING\n"
                                  f"TAKEOFF_MAX_QUEUED_REQUESTS=50\nTAKEOFF_MAX_BATCH_SIZE=3\nLICENSE_KEY={SECRET}\n")
        self.write("config.yaml", MANIFEST.format(model="org/tiny", second="embed"))
        self.env = {"PATH": os.environ["PATH"], "HOME": self.home, "PWD": self.here, "XDG_CACHE_HOME": os.path.join(self.home, ".cache")}

    def write(self, name, text):
        with open(os.path.join(self.here, name), "w", newline="") as f:
            f.write(text)
        return os.path.join(self.here, name)

    def fill(self, text):
        return text.replace("@HOME", self.home).replace("@PWD", self.here).replace("@MODELS", self.models)

    def run(self, *command, text=None):
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, cwd=self.here, env=self.env)

    def convert(self, text):
        return self.run(program("conf/takeoff2airstrip", sanitized=True), "-", text=self.fill(text))

    def check(self, configuration, **env):
        """--check of the whole, with a model where the test has it.  A machine without a GPU has no device cuda."""
        path = self.write("airstrip.conf", configuration.replace("device = cuda", "device = auto"))
        return subprocess.run([program(sanitized=True), "--config", path, "--models-dir", self.models, "--check"], capture_output=True, text=True,
                              timeout=120, cwd=self.here, env=dict(self.env, **env))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.top, ignore_errors=True)


def command_lines():
    with Place() as place:
        for name, text, have, lack, notes in COMMANDS:
            done = place.convert(text)
            found = [f"no {line}" for line in map(place.fill, have) if line not in done.stdout]
            found += [f"there is {line}" for line in lack if line in done.stdout]
            found += [f"no word of {line}" for line in notes if line not in done.stdout or line not in done.stderr]
            found += ["other words"] if not notes and done.stderr else []
            found += ["a secret"] if SECRET in done.stdout + done.stderr else []
            if done.returncode == 0 and not found and "quotes here" not in name:
                checked = place.check(done.stdout)
                found += [checked.stderr] if checked.returncode else []
            tap.ok(done.returncode == 0 and not found, f"a command line: {name}", *found, done.stdout, done.stderr)
        for text, message in REFUSED:
            done = place.convert(text)
            tap.ok(done.returncode == 1 and message in done.stderr and not done.stdout, f"refused: {message}", text, done.stdout, done.stderr)


def arguments():
    """The words as a shell gives them, files, and the program's own options."""
    converter = program("conf/takeoff2airstrip", sanitized=True)
    with Place() as place:
        done = place.run(converter, "docker", "run", "-e", "TAKEOFF_MODEL_NAME=a $b 'c", "-e", "TAKEOFF_DEVICE=cpu", "takeoff")
        tap.ok('model = "a $b \'c"' in done.stdout, "words of a command line are taken as they are", done.stdout, done.stderr)
        done = place.run(converter, place.write("run.sh", "docker run --env-file takeoff.env takeoff\n"))
        tap.ok("model = org/tiny" in done.stdout, "a script in a file", done.stdout, done.stderr)
        done = place.run(converter, "config.yaml")
        tap.ok(done.returncode == 0 and "[model reader2]" in done.stdout and "#takeoff = on" in done.stdout and SECRET not in done.stdout + done.stderr,
               "a manifest in a file", done.stdout, done.stderr)
        same = place.check(done.stdout)
        tap.ok(same.returncode == 0 and "2 models" in same.stderr, "and airstrip takes it", same.stderr)
        tap.equal(place.run(converter).returncode, 2, "no arguments: usage")
        tap.ok("docker run" in place.run(converter, "--help").stdout, "--help")
        tap.equal(place.run(converter, "a", "b").returncode, 1, "two files are one too many")


def a_manifest_is_served():
    with Place() as place:
        path = place.write("config.yaml", MANIFEST.format(model=SMOLLM2, second="second"))
        with Program("--takeoff-manifest", path, model=None, env={"TAKEOFF_MAX_QUEUED_REQUESTS": "77"}) as p:
            tap.equal([m["id"] for m in p.get("/v1/models").json()["data"]], ["primary", "second"], "consumer groups are names of models")
            tap.equal([p.get("/v1/models/" + n).json()["max_model_len"] for n in ("primary", "second")], [512, 256], "with their readers' lengths")
            for name in ("primary", "second"):
                tap.equal(p.post(chat(model=name)).status, 200, f"{name} answers")
            log = p.read_log()
            tap.ok("nickname is not known" in log and "openai_port has no effect here" in log and "access_token has no effect here" in log,
                   "the log says what has no effect", log)
            tap.ok(SECRET not in log, "and no secret", log)
            place.write("config.yaml", MANIFEST.format(model=SMOLLM2, second="third"))
            p.signal()
            tap.ok(wait_until(lambda: [m["id"] for m in p.get("/v1/models").json()["data"]] == ["primary", "third"], 120, 0.1),
                   "SIGHUP reads the manifest anew", p.read_log())
            tap.equal(p.post(chat(model="third")).status, 200, "whose new group answers")
            place.write("config.yaml", "takeoff: {server_config: {}, readers_config: {r: {device: cpu, consumer_group: g}}}\n")
            p.signal()
            tap.ok(wait_until(lambda: "missing field model_name" in p.read_log(), 120, 0.1), "a wrong one changes nothing", p.read_log())
            tap.equal(p.post(chat(model="third")).status, 200, "what there was goes on")


def a_manifest_and_the_environment():
    with Place() as place:
        path = place.write("config.yaml", MANIFEST.format(model="org/tiny", second="second"))
        good = place.check("", AIRSTRIP_TAKEOFF_MANIFEST=path)
        tap.ok(good.returncode == 0 and "2 models" in good.stderr, "AIRSTRIP_TAKEOFF_MANIFEST names it", good.stderr)
        good = place.check(f"takeoff_manifest = {path}\n[model reader1]\nthreads = 1\n", TAKEOFF_MODEL_NAME="x")
        tap.ok(good.returncode == 0 and "2 models" in good.stderr, "so does airstrip.conf; a variable alone makes no reader", good.stderr)
        bad = place.check(f"takeoff_manifest = {path}\n", **ORG)
        tap.ok(bad.returncode == 1 and "expected no reader beside those of the manifest" in bad.stderr,
               "a reader of the environment beside them is refused", bad.stderr)
        bad = place.check("takeoff_manifest = /not/there.yaml\n")
        tap.ok(bad.returncode == 1 and "/not/there.yaml" in bad.stderr, "one that is not there", bad.stderr)
        place.write("config.yaml", "takeoff:\n  server_config:\n  readers_config:\n    r: {model_name: m, device: cpu, consumer_group: 'a b'}\n")
        bad = place.check(f"takeoff_manifest = {path}\n")
        tap.ok(bad.returncode == 1 and "a b" in bad.stderr, "a group with a name that clients cannot write", bad.stderr)


# What Takeoff's own reader of manifests is asked about: every kind of field, with every way of writing a value.
READER_FIELDS = ("model_name", "consumer_group", "device", "cuda_visible_devices", "tensor_parallel", "max_batch_size", "disable_static", "quant_type")
SERVER_FIELDS = ("port", "enable_metrics", "repository_path", "heartbeat_check_interval")
VALUES = ("8", "'8'", '"8"', "x", "-1", "1.5", "true", "True", "TRUE", "null", "~", "[1]", "{a: 1}", "0x8", "0X8", "0o17", "0b11", "1e3", "''", "70000",
          "'0,1'", "'0, 1'", "'0,'", "0", "4294967295", "4294967296", "18446744073709551616", "yes", ".inf", "-.inf", ".5", "5.", "+5", "007", "1_000", "-0",
          "0x", "0xg", "08", "1e", "1e+", "+.5", "cpu", "cuda", "no", "on", "+0x8", "-0x8", "0x1ffffffffffffffff", "!!int 8", "!!int '8'", "!!bool true",
          "!!str 8", "2", "3", "&a 8", "|-\n        8", ">\n        8", "'\"8\"'", "8 # eight", "8#eight", "@8", "`8", "%8", "- 8", "8:", "8: 9", "\t8")
# Where it takes more than there is sense in: a model without a name, a group that nobody can write, more than any key of ours takes.
STRICTER = ("missing field", "an empty text", "expected a model name of letters", "expected 0 to 4096", "expected 0 to 64,", "found \"+5\"", "expected a value of one line")


def as_takeoff_config_does():
    """Manifests that it refuses are refused, others are taken, and a text is the same text."""
    python, why = environment("third")
    if not python or subprocess.run([python, "-c", "import takeoff_config"], capture_output=True, timeout=60).returncode:
        tap.skip("manifests as takeoff-config reads them", why or "takeoff-config is not installed")
        return
    cases = []
    for field in READER_FIELDS + SERVER_FIELDS:
        for value in VALUES:
            reader = {"model_name": "m", "device": "cuda", "consumer_group": "g", **({field: value} if field in READER_FIELDS else {})}
            server = f"\n    {field}: {value}" if field in SERVER_FIELDS else ""
            cases.append((field, value, f"takeoff:\n  server_config:{server}\n  readers_config:\n    r:\n"
                          + "".join(f"      {k}: {v}\n" for k, v in reader.items())))
    with Place() as place, ThreadPoolExecutor(2) as pool:
        for i, (_, _, text) in enumerate(cases):
            place.write(str(i), text)
        done = place.run(python, os.path.join(TOP, "tests", "clients", "use_takeoff_config.py"), place.here, str(len(cases)))
        theirs = json.loads(done.stdout)
        ours = list(pool.map(lambda i: place.run(program("conf/takeoff2airstrip"), str(i)), range(len(cases))))
    wrong, both = [], 0
    for (field, value, _), they, we in zip(cases, theirs, ours):
        if (they is None) != (we.returncode != 0) and not (they and any(s in we.stderr for s in STRICTER)):
            wrong.append(f"{field}: {value}: takeoff-config has {they}, {we.stderr or we.stdout}")
        elif they and we.returncode == 0:
            both += 1
            name, = re.findall(r'(?m)^model = "?(.*?)"?$', we.stdout)
            if name.replace('\\"', '"') != they["model_name"]:
                wrong.append(f"{field}: {value}: the model {they['model_name']} has become {name}")
    tap.ok(not wrong and 100 < both < len(cases) - 100, f"{len(cases)} manifests are taken or refused as takeoff-config does, {both} taken", *wrong)


for test in (as_takeoff_config_does, command_lines, arguments, a_manifest_is_served, a_manifest_and_the_environment):
    tap.attempt(test)
tap.done()
