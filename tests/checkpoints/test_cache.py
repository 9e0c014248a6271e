"""The model cache: names, downloads, verification, locking, and errors when files are unavailable."""

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minilm_jax.checkpoints import cache as model_files, sources as model_sources
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, FILES_FOR_INFERENCE, derived_file, model_folder, published_file
from minilm_jax.checkpoints.sources import PINNED_ALL_MINILM_L6_V2
from minilm_jax.errors import ModelFileError
from tests.helpers.small_model import CONTENTS, IN_PACKAGE, FakeSource, files_under, process, small_model


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths of the files that were hashed, in order."""
    paths: list[Path] = []
    real = model_sources.sha256_of

    def counting(path: Path) -> str:
        paths.append(path)
        return real(path)

    monkeypatch.setattr(model_sources, "sha256_of", counting)
    monkeypatch.setattr(model_files, "sha256_of", counting)
    return paths


# Names and folders.


def test_existing_folder_takes_precedence_over_a_model_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    source = FakeSource()
    assert model_folder("tiny", model=small_model(source)) == Path("tiny")
    assert model_folder(tmp_path / "tiny", model=small_model(source)) == tmp_path / "tiny"
    assert not source.requested


@pytest.mark.parametrize("name", ["tiny", "TINY", "someone/tiny", "someone/Tiny"])
def test_aliases_in_any_case_give_the_same_folder(name: str, cache: Path) -> None:
    assert model_folder(name, files=IN_PACKAGE, cache_dir=cache, model=small_model(FakeSource())) == cache / "tiny"


def test_default_model_has_a_short_name_and_a_hub_name() -> None:
    assert DEFAULT_MODEL == "all-minilm-l6-v2"
    assert PINNED_ALL_MINILM_L6_V2.names == ("all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2")
    assert set(FILES_FOR_INFERENCE) <= {file.name for file in PINNED_ALL_MINILM_L6_V2.files if file.in_package}


@pytest.mark.parametrize("name", ["", "~nobody/x", "no/such/folder", "nul\0"])
def test_missing_folder_raises_error(name: str, cache: Path) -> None:
    with pytest.raises(ModelFileError, match=r"is not an existing folder.*that contains"):
        model_folder(name, cache_dir=cache)
    assert not cache.exists()


def test_file_instead_of_folder_raises_error(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelFileError, match="is a file; pass the folder"):
        model_folder(tmp_path / "model.safetensors")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelFileError, match=r"is an ONNX file; convert it with `python -m convert onnx_to_flax \S+"):
        model_folder(tmp_path / "model.onnx")


def test_unknown_file_error_lists_the_available_files(cache: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no file '\.\./x'; it has model\.safetensors"):
        published_file("../x", cache_dir=cache)


def test_cache_folder_comes_from_argument_environment_or_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINILM_JAX_CACHE", str(tmp_path / "a"))
    assert model_files.cache_folder() == tmp_path / "a"
    assert model_files.cache_folder(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("MINILM_JAX_CACHE")
    assert model_files.cache_folder().name.startswith("minilm-jax")
    assert not list(tmp_path.iterdir())


# Cached files.


def test_cache_hit_makes_no_request_and_skips_hashing(cache: Path, hashed: list[Path]) -> None:
    source, folder = FakeSource(), cache / "tiny"
    for _ in range(3):
        assert model_folder("tiny", files=list(CONTENTS), cache_dir=cache, model=small_model(source)) == folder
    assert source.requested == list(CONTENTS)
    assert len(hashed) == len(CONTENTS)
    assert {name: (folder / name).read_bytes() for name in CONTENTS} == CONTENTS
    assert files_under(folder) == {*CONTENTS, "verified.json", ".lock"}
    assert cache.stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o700


def test_only_missing_files_are_downloaded(cache: Path) -> None:
    source = FakeSource()
    published_file("onnx/model.onnx", cache_dir=cache, model=small_model(source))
    model_folder("tiny", files=list(CONTENTS), cache_dir=cache, model=small_model(source))
    assert sorted(source.requested) == sorted(CONTENTS)


@pytest.mark.parametrize("damage", [b"", b"weights" * 999, b"WEIGHTS" * 1000])
def test_damaged_file_is_downloaded_again(damage: bytes, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource()
    path = published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    path.write_bytes(damage)
    assert published_file("model.safetensors", cache_dir=cache, model=small_model(source)) == path
    assert path.read_bytes() == CONTENTS["model.safetensors"]
    assert len(source.requested) == 2
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"{path} is damaged and will be replaced"
    ]


def test_file_with_a_new_timestamp_is_hashed_once_and_kept(cache: Path, hashed: list[Path]) -> None:
    source = FakeSource()
    path = published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    os.utime(path, (1, 1))
    hashed.clear()
    for _ in range(3):
        published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    assert hashed == [path]
    assert len(source.requested) == 1


@pytest.mark.parametrize("stamps", ["", "[]", '{"model.safetensors": 3}', "\udcff"])
def test_damaged_stamps_cause_no_download(stamps: str, cache: Path) -> None:
    source = FakeSource()
    path = published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    (path.parent / "verified.json").write_text(stamps, "utf-8", errors="surrogateescape")
    published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    assert len(source.requested) == 1
    assert json.loads((path.parent / "verified.json").read_text("utf-8"))["model.safetensors"]["size"] == 7000


def test_read_only_cache_with_changed_timestamps_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = published_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource()))
    os.utime(path, (1, 1))
    stamps = (path.parent / "verified.json").read_bytes()
    monkeypatch.setattr(os, "access", lambda *_: False)  # Mode bits do not stop root, who may run the tests.
    assert published_file("model.safetensors", cache_dir=cache, model=small_model()) == path
    assert (path.parent / "verified.json").read_bytes() == stamps


def test_unwritable_cache_error_names_the_environment_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelFileError, match=r"Cannot write to .*MINILM_JAX_CACHE"):
        published_file("model.safetensors", cache_dir=tmp_path / "file", model=small_model(FakeSource()))


# Failing sources.


def test_file_with_wrong_bytes_comes_from_the_next_source(cache: Path) -> None:
    bad, good = FakeSource({**CONTENTS, "1_Pooling/config.json": b"[]"}), FakeSource()
    model_folder("tiny", files=list(CONTENTS), cache_dir=cache, model=small_model(bad, good))
    assert good.requested == ["1_Pooling/config.json"]


def test_error_after_all_sources_fail_names_each_source_and_the_fix(cache: Path) -> None:
    bad = FakeSource({**CONTENTS, "model.safetensors": b"?"})
    broken = FakeSource(error=ConnectionError("no route\nto host"))
    empty = FakeSource({})
    with pytest.raises(ModelFileError) as caught:
        published_file("model.safetensors", cache_dir=cache, model=small_model(bad, broken, empty))
    assert str(caught.value).splitlines() == [
        "Cannot download model.safetensors:",
        "  - a fake source: sent wrong data for model.safetensors",
        "  - a fake source: ConnectionError: no route",
        "  - a fake source: does not have model.safetensors",
        "fetch 1 by hand",
    ]
    assert files_under(cache / "tiny") == {".lock"}


def test_interrupted_download_leaves_no_files(cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        published_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource(error=KeyboardInterrupt())))
    assert files_under(cache / "tiny") == {".lock"}


def test_leftovers_of_a_killed_process_are_removed(cache: Path) -> None:
    leftover = cache / "tiny" / ".incoming-dead"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_bytes(b"weig")
    published_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource()))
    assert files_under(cache / "tiny") == {".lock", "model.safetensors", "verified.json"}


def test_full_disk_error_names_the_size_and_the_folder(cache: Path) -> None:
    full = FakeSource(error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(
        ModelFileError, match=rf"No space left in {cache / 'tiny'} .* the files take 0 MB.*MINILM_JAX_CACHE"
    ):
        published_file("model.safetensors", cache_dir=cache, model=small_model(full))
    assert files_under(cache / "tiny") == {".lock"}


def test_full_disk_while_writing_the_stamp_raises_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ModelFileError, match="No space left"):
        published_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource()))
    monkeypatch.undo()
    # The file is complete; only its stamp is missing.
    published_file("model.safetensors", cache_dir=cache, model=small_model())


def test_concurrent_processes_download_once(cache: Path, tmp_path: Path) -> None:
    program = f"""
import time

class Slow(FakeSource):
    def fetch(self, files, folder):
        with open({str(tmp_path / "fetches")!r}, "a") as log:
            log.write("x")
        time.sleep(0.5)
        super().fetch(files, folder)

model_folder("tiny", files=IN_PACKAGE, cache_dir={str(cache)!r}, model=small_model(Slow()))
"""
    processes = [subprocess.Popen(process(program)) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "fetches").read_text() == "x"


# Files derived from the model.


def test_derived_file_is_written_once_and_again_when_damaged(cache: Path) -> None:
    calls: list[Path] = []

    def make(path: Path) -> None:
        calls.append(path)
        path.write_bytes(b"made")

    model = small_model()
    path = derived_file("onnx/derived.onnx", make, cache_dir=cache, model=model)
    assert path == cache / "tiny" / "onnx" / "derived.onnx"
    os.utime(path, (1, 1))
    assert derived_file("onnx/derived.onnx", make, cache_dir=cache, model=model).read_bytes() == b"made"
    assert len(calls) == 1
    path.write_bytes(b"MADE")
    assert derived_file("onnx/derived.onnx", make, cache_dir=cache, model=model).read_bytes() == b"made"
    assert len(calls) == 2
    assert files_under(cache / "tiny") == {".lock", "onnx/derived.onnx", "verified.json"}


def test_derived_file_can_be_made_from_a_published_file(cache: Path) -> None:
    model = small_model(FakeSource())

    def make(path: Path) -> None:
        path.write_bytes(published_file("onnx/model.onnx", cache_dir=cache, model=model).read_bytes() + b"!")

    assert derived_file("derived", make, cache_dir=cache, model=model).read_bytes() == b"graph!"


def test_failed_derivation_leaves_no_file(cache: Path) -> None:
    def make(path: Path) -> None:
        path.write_bytes(b"half")
        raise FileNotFoundError("no input")

    with pytest.raises(FileNotFoundError, match="no input"):
        derived_file("derived", make, cache_dir=cache, model=small_model())
    assert files_under(cache / "tiny") == {".lock"}


def test_import_of_the_cache_loads_no_heavy_packages() -> None:
    heavy = "{'huggingface_hub', 'filelock', 'platformdirs'}"
    program = f"import sys, minilm_jax.checkpoints.cache; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
