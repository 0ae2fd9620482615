import loopback
from loopback import tap
import json
import os
import tempfile

folder = tempfile.TemporaryDirectory()
os.environ["LLM_USER_PATH"] = folder.name
with open(os.path.join(folder.name, "extra-openai-models.yaml"), "w") as f:
    json.dump([{"model_id": "airstrip", "model_name": "primary", "api_base": loopback.url(), "api_key_name": "none", "supports_tools": True,
                "supports_schema": True}], f)      # YAML, too

import click.testing  # noqa: E402
import llm  # noqa: E402
from llm.cli import cli  # noqa: E402

run = click.testing.CliRunner()
options = ["-m", "airstrip", "--key", "not needed", "-o", "temperature", "0", "-o", "max_tokens", "100"]
for more in ([], ["--no-stream"]):
    done = run.invoke(cli, ["prompt", "Say hello."] + options + more)
    tap.ok(done.exit_code == 0 and done.output.strip(), f"llm prompt {more}", done.output, done.exception)
done = run.invoke(cli, ["prompt", "Say more.", "-c", "--key", "not needed"])
tap.ok(done.exit_code == 0 and done.output.strip(), "llm prompt -c goes on with it", done.output, done.exception)
done = run.invoke(cli, ["prompt", "Ada is 36 years old.", "--schema", "name, age int"] + options)
tap.equal(set(json.loads(done.output)) if done.exit_code == 0 else done.exception, {"name", "age"}, "llm prompt --schema", done.output)
model = llm.get_model("airstrip")
model.key = "not needed"


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


chain = model.conversation().chain("What is 2 plus 3?", tools=[add], options={"temperature": 0, "max_tokens": 100}, chain_limit=3)
text = chain.text()
tap.ok(isinstance(text, str), f"a chain with a tool: {len(list(chain.responses()))} responses", text)
loopback.done()
