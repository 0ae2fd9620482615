"""The clients that people use, each in a small conversation of its own with tools and structured output: tests/clients.

They have heavy dependencies that cannot all be installed together, so they live in two environments of their own, which tests/run makes;
where it could not, AIRSTRIP_CLIENTS says why and they are skipped.
"""
import os
import subprocess

from stack import TOP, Stack
import tap

FOLDER = os.path.join(TOP, "tests", "clients")
CLIENTS = {"use_langchain": "first", "use_llm": "first", "use_openai_agents": "first", "use_pydantic_ai": "first",
           "use_instructor": "second", "use_litellm": "second", "use_llama_index": "second"}


def environment(name):
    """The Python of one of the environments; None with a reason."""
    where = os.environ.get("AIRSTRIP_CLIENTS", os.path.expanduser("~/.cache/airstrip/venv-clients"))
    python = os.path.join(where, name, "bin", "python")
    return (python, None) if os.path.exists(python) else (None, where if "not installed" in where else f"there is no {python}")


def conversation(s, name):
    python, why = environment(CLIENTS[name])
    if not python:
        tap.skip(name, why)
        return
    done = subprocess.run([python, os.path.join(FOLDER, name + ".py"), s.url + "/v1"], capture_output=True, text=True, timeout=300,
                          cwd=s.dir, env=dict(os.environ, PYTHONPATH=FOLDER))
    lines = done.stdout.splitlines()
    comments = []
    for line in lines:
        if line.startswith("#"):
            comments.append(line)
        elif line.startswith(("ok ", "not ok ")):
            tap.ok(line.startswith("ok"), f"{name[4:]}: " + line.split(" - ", 1)[1], *comments)
            comments = []
    tap.ok(lines and lines[-1].startswith("1.."), f"{name[4:]} came to its end", done.stdout[-1500:], done.stderr[-3000:])


def main():
    with Stack("lighttpd", options=["--default-max-tokens", "300"]) as stack:
        for client in CLIENTS:
            tap.attempt(conversation, stack, client)
        status = stack.status()
        tap.equal((status["running"], status["waiting"]), (0, 0), "nothing is left behind")
    tap.done()


if __name__ == "__main__":
    main()
