"""Server processes for tests."""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

KEY = "a-key-of-the-tests"
_START_SECONDS = 120


@contextlib.contextmanager
def serving(*options: str, port: int = 0) -> Iterator[str]:
    """Yield the address of a server process, which ends with the block."""
    command = [sys.executable, "-m", "minilm_jax", "serve", "--port", str(port), *options]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as stderr, subprocess.Popen(command, stderr=stderr) as process:
            try:
                yield _address_when_ready(process, log)
            finally:
                process.terminate()


def _address_when_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found and _is_ready(found[0]):
            return found[0]
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:  # Nobody listens yet, or the status is 503.
        return False
