"""The server starts with clear messages, finishes its requests at SIGTERM, and logs neither texts nor keys."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from minilm_jax.cli import main
from minilm_jax.serving.settings import ServerSettings


def start(log: Path, *options: str) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "minilm_jax", "serve", "--port", str(port), *options]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready"):
                return process, f"http://127.0.0.1:{port}"
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_sigterm_finishes_requests_and_exits_with_zero(tmp_path: Path) -> None:
    process, url = start(tmp_path / "log", "--drain-delay", "5", "--log-json", "--max-inputs", "5000")
    found: list[Any] = []

    def request() -> None:
        trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "authorization": "Bearer secret-key"}
        body = {"inputs": ["secret words of a text"] * 2_000}
        found.append(httpx.post(f"{url}/embed", json=body, headers=trace, timeout=60))

    client = threading.Thread(target=request)
    client.start()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert httpx.get(f"{url}/ready").status_code == 503
    assert httpx.get(f"{url}/health").status_code == 200
    client.join(60)
    assert [len(each.json()) for each in found] == [2_000]
    assert process.wait(60) == 0
    log = (tmp_path / "log").read_text()
    assert "secret" not in log
    (line,) = [entry for entry in map(json.loads, log.splitlines()) if entry.get("path") == "/embed"]
    assert (line["status"], line["texts"], line["traceparent"][:5]) == (200, 2_000, "00-aa")


def test_two_models_of_one_kind_are_refused(small_models: tuple[Path, Path]) -> None:
    reranker, _ = small_models
    result = CliRunner().invoke(main, ["serve", "--port", "0", "--model", str(reranker), "--reranker", str(reranker)])
    assert result.exit_code == 1
    assert "are both of the kind CrossEncoder" in result.output


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def test_unix_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    command = [sys.executable, "-m", "minilm_jax", "serve", "--uds", str(path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 120
        while not accepts(path) and time.monotonic() < end:
            time.sleep(0.05)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://server/ready").json() == {"ready": True}
        process.terminate()
        assert process.wait(60) == 0
    assert not path.exists()


def test_address_in_use_is_reported_before_the_model_is_loaded() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        result = CliRunner().invoke(main, ["serve", "--port", str(used.getsockname()[1])])
    assert result.exit_code == 1
    assert "cannot listen at http://127.0.0.1" in result.output


def test_every_setting_is_an_option_and_a_variable() -> None:
    command = main.commands["serve"]
    assert {option.name for option in command.params} == {*ServerSettings.__dataclass_fields__}
    result = CliRunner().invoke(main, ["serve"], env={"MINILM_JAX_SERVE_PORT": "none"})
    assert result.exit_code == 2
    assert "--port" in result.output


@pytest.mark.parametrize("option", [("--port", "70000"), ("--precision", "int4"), ("--max-inputs", "0")])
def test_wrong_option(option: tuple[str, str]) -> None:
    assert CliRunner().invoke(main, ["serve", *option]).exit_code == 2
