"""Import it first: from then on this process reaches its own machine only, and what tried to leave it is remembered.

Settings that keep the clients from calling home are here, so that an attempt is a surprise and fails the test.
"""
import ipaddress
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap  # noqa: E402

os.environ.update({
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",     # the table of prices that litellm brings along, not the newest
    "LITELLM_TELEMETRY": "False",
    "LANGCHAIN_TRACING_V2": "false", "LANGSMITH_TRACING": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LOGFIRE_SEND_TO_LOGFIRE": "false",
    "DO_NOT_TRACK": "1", "ANONYMIZED_TELEMETRY": "False",
    "HF_HUB_OFFLINE": "1",
    "OPENAI_API_KEY": "not needed",
    "NO_PROXY": "127.0.0.1",
})

_tried = []
_connect, _connect_ex, _getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def _is_near(host):
    try:
        return host in ("localhost", None, "") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(address):
    if isinstance(address, tuple) and not _is_near(address[0]):
        _tried.append(address)
        raise ConnectionRefusedError(f"{address} is not this machine")


def _guard(real):
    def connect(self, address):
        _check(address)
        return real(self, address)
    return connect


def _resolve(host, *args, **more):
    name = host.decode() if isinstance(host, bytes) else host
    _check((name,))
    return _getaddrinfo(host, *args, **more)


socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo = _guard(_connect), _guard(_connect_ex), _resolve


def done():
    tap.equal(_tried, [], "no other machine was asked")
    tap.done()


def url():
    """The server's, with /v1."""
    return sys.argv[1]
