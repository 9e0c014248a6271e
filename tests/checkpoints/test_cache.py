"""Which model files there are, where they are kept, and what happens when they cannot be obtained."""

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
        published_file("../x", cache_dir=cache)


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
    published_file("onnx/model.onnx", cache_dir=cache, model=small_model(source))
    model_folder("tiny", files=list(CONTENTS), cache_dir=cache, model=small_model(source))
    assert sorted(source.asked) == sorted(CONTENTS)


@pytest.mark.parametrize("damage", [b"", b"weights" * 999, b"WEIGHTS" * 1000])
def test_a_damaged_file_is_obtained_again(damage: bytes, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource()
    path = published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    path.write_bytes(damage)
    assert published_file("model.safetensors", cache_dir=cache, model=small_model(source)) == path
    assert path.read_bytes() == CONTENTS["model.safetensors"]
    assert len(source.asked) == 2
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"{path} is damaged and will be replaced"
    ]


def test_a_touched_file_is_read_once_more_and_kept(cache: Path, hashed: list[Path]) -> None:
    source = FakeSource()
    path = published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    os.utime(path, (1, 1))
    hashed.clear()
    for _ in range(3):
        published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    assert hashed == [path]
    assert len(source.asked) == 1


@pytest.mark.parametrize("stamps", ["", "[]", '{"model.safetensors": 3}', "\udcff"])
def test_damaged_stamps_only_cost_another_look(stamps: str, cache: Path) -> None:
    source = FakeSource()
    path = published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    (path.parent / "verified.json").write_text(stamps, "utf-8", errors="surrogateescape")
    published_file("model.safetensors", cache_dir=cache, model=small_model(source))
    assert len(source.asked) == 1
    assert json.loads((path.parent / "verified.json").read_text("utf-8"))["model.safetensors"]["size"] == 7000


def test_a_read_only_cache_with_rounded_times_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = published_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource()))
    os.utime(path, (1, 1))
    stamps = (path.parent / "verified.json").read_bytes()
    monkeypatch.setattr(os, "access", lambda *_: False)  # The tests may run as root, to whom no mode bit says no.
    assert published_file("model.safetensors", cache_dir=cache, model=small_model()) == path
    assert (path.parent / "verified.json").read_bytes() == stamps


def test_a_cache_that_cannot_be_made_says_how_to_choose_another(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelFileError, match=r"Cannot write to .*MINILM_JAX_CACHE"):
        published_file("model.safetensors", cache_dir=tmp_path / "file", model=small_model(FakeSource()))


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
        published_file("model.safetensors", cache_dir=cache, model=small_model(bad, broken, empty))
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
        published_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource(error=KeyboardInterrupt())))
    assert files_under(cache / "tiny") == {".lock"}


def test_what_a_killed_process_left_is_swept(cache: Path) -> None:
    left = cache / "tiny" / ".incoming-dead"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"weig")
    published_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource()))
    assert files_under(cache / "tiny") == {".lock", "model.safetensors", "verified.json"}


def test_a_full_disk_says_how_much_is_needed_and_where(cache: Path) -> None:
    full = FakeSource(error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(
        ModelFileError, match=rf"No space left in {cache / 'tiny'} .* the files take 0 MB.*MINILM_JAX_CACHE"
    ):
        published_file("model.safetensors", cache_dir=cache, model=small_model(full))
    assert files_under(cache / "tiny") == {".lock"}


def test_a_disk_that_is_full_when_stamping(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ModelFileError, match="No space left"):
        published_file("model.safetensors", cache_dir=cache, model=small_model(FakeSource()))
    monkeypatch.undo()
    published_file("model.safetensors", cache_dir=cache, model=small_model())  # Complete, so only its stamp is wanting.


def test_two_processes_obtain_once(cache: Path, tmp_path: Path) -> None:
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


# Files made from the model.


def test_a_made_file_is_made_once_and_again_when_damaged(cache: Path) -> None:
    calls: list[Path] = []

    def make(path: Path) -> None:
        calls.append(path)
        path.write_bytes(b"made")

    model = small_model()
    path = derived_file("onnx/made.onnx", make, cache_dir=cache, model=model)
    assert path == cache / "tiny" / "onnx" / "made.onnx"
    os.utime(path, (1, 1))
    assert derived_file("onnx/made.onnx", make, cache_dir=cache, model=model).read_bytes() == b"made"
    assert len(calls) == 1
    path.write_bytes(b"MADE")
    assert derived_file("onnx/made.onnx", make, cache_dir=cache, model=model).read_bytes() == b"made"
    assert len(calls) == 2
    assert files_under(cache / "tiny") == {".lock", "onnx/made.onnx", "verified.json"}


def test_a_made_file_may_be_made_from_a_published_one(cache: Path) -> None:
    model = small_model(FakeSource())

    def make(path: Path) -> None:
        path.write_bytes(published_file("onnx/model.onnx", cache_dir=cache, model=model).read_bytes() + b"!")

    assert derived_file("made", make, cache_dir=cache, model=model).read_bytes() == b"graph!"


def test_a_make_that_fails_leaves_nothing(cache: Path) -> None:
    def make(path: Path) -> None:
        path.write_bytes(b"half")
        raise FileNotFoundError("its own trouble")

    with pytest.raises(FileNotFoundError, match="its own trouble"):
        derived_file("made", make, cache_dir=cache, model=small_model())
    assert files_under(cache / "tiny") == {".lock"}


def test_importing_is_cheap() -> None:
    costly = "{'huggingface_hub', 'filelock', 'platformdirs'}"
    program = f"import sys, minilm_jax.checkpoints.cache; print({costly} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
