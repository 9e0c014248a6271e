"""The servers: their commands, and the processes that run them."""

import contextlib
import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.harness.results import OURS
from minilm_jax.config import Precision

_ROOT = Path(__file__).parents[2]
INFINITY_PYTHON = _ROOT / ".venv-infinity" / "bin" / "python"

# The environment variable with the folder of the model, for the applications.
FOLDER = "BENCHMARK_MODEL_FOLDER"

# Servers load from a folder, and neither the hub nor statistics services can be reached.
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
_MOST_SECONDS = 120

# The queue holds about two seconds of texts, so that an overload of some seconds fills it.
MAX_WAITING_TOKENS = 16_384

INFINITY, SBERT_APP, ONNX_APP = "infinity", "FastAPI + sentence-transformers", "FastAPI + onnxruntime"


@dataclasses.dataclass(frozen=True)
class Server:
    """A server with its settings.

    Attributes:
        name: Its name in reports.
        command: The program and its arguments; `{folder}` and `{port}` are replaced.
        precision: The precision that it computes in.
    """

    name: str
    command: tuple[str, ...]
    precision: Precision = "float32"

    @contextlib.contextmanager
    def running(self, folder: Path) -> Iterator["Running"]:
        """Start the process, wait for its first answer, and end it with the block."""
        port = _free_port()
        command = [part.format(folder=folder, port=port) for part in self.command]
        environment = {**os.environ, **_ENVIRONMENT, FOLDER: str(folder)}
        start = time.perf_counter()
        # The lines that servers log for each request go to a file, as in a service.
        with (
            (folder.parent / f"{port}.log").open("w") as log,
            subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=log, stderr=log) as process,
        ):
            try:
                address = f"http://127.0.0.1:{port}"
                _wait(process, address)
                yield Running(self, address, process.pid, time.perf_counter() - start)
            finally:
                process.kill()


@dataclasses.dataclass(frozen=True)
class Running:
    """A server process.

    Attributes:
        server: The server.
        address: Its address.
        process: Number of its process.
        seconds_to_ready: Seconds from its start to its first answer.
    """

    server: Server
    address: str
    process: int
    seconds_to_ready: float

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts."""
        body = json.dumps({"input": texts}).encode()
        request = urllib.request.Request(f"{self.address}/v1/embeddings", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=_MOST_SECONDS) as answer:
            return [each["embedding"] for each in json.load(answer)["data"]]

    def megabytes(self) -> float:
        """Return the resident memory of the process."""
        status = Path(f"/proc/{self.process}/status").read_text()
        (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
        return int(kilobytes) * 1024 / 1e6


def _ours(precision: Precision) -> Server:
    options = ("--precision", precision, "--max-waiting-tokens", str(MAX_WAITING_TOKENS))
    command = (sys.executable, "-m", "minilm_jax", "serve", "--model", "{folder}", "--port", "{port}", *options)
    return Server(OURS, command, precision)


def _app(name: str, factory: str) -> Server:
    module = f"benchmarks.serving.apps:{factory}"
    return Server(name, (sys.executable, "-m", "uvicorn", "--factory", module, "--port", "{port}"))


_INFINITY_OPTIONS = "v2 --model-id {folder} --engine torch --device cpu --host 127.0.0.1 --port {port} --url-prefix /v1"

SERVERS = (
    _ours("float32"),
    _ours("int8"),
    Server(INFINITY, (str(INFINITY_PYTHON.with_name("infinity_emb")), *_INFINITY_OPTIONS.split())),
    _app(SBERT_APP, "sentence_transformers"),
    _app(ONNX_APP, "onnxruntime"),
)
CONSTANT = _app("a constant answer", "constant")


def infinity_versions() -> Mapping[str, str]:
    """Return the versions in infinity's environment."""
    script = "from importlib.metadata import version; print(*map(version, ('infinity-emb', 'torch', 'transformers')))"
    found = subprocess.check_output([INFINITY_PYTHON, "-c", script], text=True).split()
    return dict(zip(("infinity-emb", "torch", "transformers"), found, strict=True))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    server = Running(SERVERS[0], address, process.pid, 0.0)
    end = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            server.embed(["A cat sleeps."])
            return
        time.sleep(0.01)
    raise RuntimeError(f"the server did not start: {' '.join(map(str, process.args))}")  # pyright: ignore
