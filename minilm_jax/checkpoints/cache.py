"""Paths of model files, which are downloaded into the cache if they are missing and verified by their sha256."""

import contextlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minilm_jax.checkpoints.disk_errors import OTHER_CACHE, disk_error, is_full
from minilm_jax.checkpoints.hub import HubOptions, download, is_hub_name, repository
from minilm_jax.checkpoints.hub_conversion import converted
from minilm_jax.checkpoints.hub_files import has_safetensors
from minilm_jax.checkpoints.sources import (
    PINNED_ALL_MINILM_L6_V2,
    PINNED_SPLADE_TINY,
    PinnedFile,
    PinnedModel,
    Source,
    sha256_of,
)
from minilm_jax.checkpoints.unsupported_files import conversion_command, remedy_for
from minilm_jax.errors import ModelFileError

_log = logging.getLogger("minilm_jax")
_STAMPS = "verified.json"

_DEFAULT_OPTIONS = HubOptions()
DEFAULT_MODEL = PINNED_ALL_MINILM_L6_V2.names[0]
DEFAULT_SPARSE_ENCODER = PINNED_SPLADE_TINY.names[0]
DEFAULT_CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"
_NOT_FOR_INFERENCE = ("vocab.txt", "onnx/model.onnx")
FILES_FOR_INFERENCE = tuple(f.name for f in PINNED_ALL_MINILM_L6_V2.files if f.name not in _NOT_FOR_INFERENCE)


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the folder for downloaded files, without creating it.

    Args:
        cache_dir: Overrides the environment variable MINILM_JAX_CACHE, which overrides the platform's cache folder.
    """
    chosen = cache_dir or os.environ.get("MINILM_JAX_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("minilm-jax")


def programs_folder(cache_dir: str | Path | None = None) -> Path | None:
    """Return the folder for compiled programs, without creating it, or None if they are not stored.

    Args:
        cache_dir: See `cache_folder`. The environment variable MINILM_JAX_PROGRAMS names another folder, or is "off".
    """
    chosen = os.environ.get("MINILM_JAX_PROGRAMS")
    if chosen == "off":
        return None
    return Path(chosen).expanduser().absolute() if chosen else cache_folder(cache_dir) / "programs"


def model_folder(
    source: str | Path,
    *,
    files: Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
    model: PinnedModel | None = None,
    hub: HubOptions = _DEFAULT_OPTIONS,
) -> Path:
    """Return the folder of a model; if the model is given by name, download its missing files.

    Args:
        source: A folder, which is returned unchanged, the name of a pinned model in any case, or the name of any model
            on the hub.
        files: The required files of a pinned model; by default those for inference.
        cache_dir: See `cache_folder`; models of the hub are in the hub's own cache, unless it is given.
        model: The pinned model, if it is not one of this project's.
        hub: How to access the hub.

    Returns:
        The folder.

    Raises:
        ModelFileError: `source` is neither a folder nor a name, or a file cannot be downloaded from any source.
        ConversionError: The hub has the model as ONNX only, and it cannot be converted.
    """
    # os.path returns False for "", "~nobody" and very long texts, where pathlib raises an error.
    path = os.path.expanduser(source)
    if os.path.isdir(path):
        return Path(path)
    model = model or (PINNED_SPLADE_TINY if PINNED_SPLADE_TINY.includes(str(source)) else PINNED_ALL_MINILM_L6_V2)
    if not model.includes(str(source), hub.revision):
        if os.path.exists(path) or not is_hub_name(str(source)):
            raise ModelFileError(_unknown(str(source), os.path.exists(path)))
        # The pinned model has several names, of which the last is the one on the hub.
        return _hub_folder(model.names[-1] if model.includes(str(source)) else str(source), hub, cache_dir)
    if files is None:
        files = [file.name for file in model.files if file.name not in _NOT_FOR_INFERENCE]
    folder = cache_folder(cache_dir) / model.names[0]
    _ensure(
        [model.file(name) for name in files], folder, model.local_sources if hub.local_files_only else model.sources
    )
    return folder


def published_file(
    name: str, *, cache_dir: str | Path | None = None, model: PinnedModel = PINNED_ALL_MINILM_L6_V2
) -> Path:
    """Return one file of a published model, such as "onnx/model.onnx", downloaded if necessary.

    Args:
        name: Its path inside the model folder.
        cache_dir: See `cache_folder`.
        model: The model.

    Returns:
        The path of the verified file.

    Raises:
        ModelFileError: The model has no such file, or it cannot be downloaded from any source.
    """
    folder = cache_folder(cache_dir) / model.names[0]
    _ensure([model.file(name)], folder, model.sources)
    return folder / name


def derived_file(
    name: str,
    make: Callable[[Path], object],
    *,
    cache_dir: str | Path | None = None,
    model: PinnedModel = PINNED_ALL_MINILM_L6_V2,
) -> Path:
    """Return a file derived from a model, such as a converted one; create it if the cache has no intact copy.

    Args:
        name: Its path inside the model folder.
        make: A function that writes the file to a temporary path; only one process at a time calls it.
        cache_dir: See `cache_folder`.
        model: The model that the file belongs to.

    Returns:
        The path of the file.

    Raises:
        ModelFileError: The cache cannot be written.
    """
    folder = cache_folder(cache_dir) / model.names[0]
    if not _unchanged(folder, name):
        with _temporary_folder(folder) as incoming:
            if not _verified(folder, name):
                made = incoming / Path(name).name
                make(made)
                _place(made, folder, name, sha256_of(made))
    return folder / name


def _hub_folder(name: str, hub: HubOptions, cache_dir: str | Path | None) -> Path:
    folder = download(name, hub, cache_dir)
    if has_safetensors(folder):
        return folder
    # The last part of a folder in the hub's cache is the commit.
    target = cache_folder(cache_dir) / "hub" / repository(name).replace("/", "--") / folder.name
    return converted(folder, name, target)


def _unknown(source: str, exists: bool) -> str:
    if exists and source.lower().endswith(".onnx"):
        return f"{source!r} is an ONNX file; convert it with `{conversion_command(Path(source))}`, and pass DIR."
    if exists and (remedy := remedy_for(Path(source))):
        return f"{source!r} is {remedy}."
    if exists:
        return f"{source!r} is a file; pass the folder that contains the model."
    return (
        f"{source!r} is not an existing folder. Pass a folder that contains model.safetensors, tokenizer.json and"
        " config.json, or the name of a model on the Hugging Face hub, such as BAAI/bge-small-en-v1.5."
    )


def _ensure(files: Sequence[PinnedFile], folder: Path, sources: Sequence[Source]) -> None:
    """Download the files that are missing from a folder; if all are there, only a few stat calls are made."""
    if all(_unchanged(folder, file.name, file.sha256) for file in files):
        return
    if not os.access(folder, os.W_OK) and all(file.matches(folder / file.name) for file in files):
        # A read-only image may round modification times, and cannot be locked or stamped, so all its files are hashed.
        return
    with _temporary_folder(folder, needed=sum(file.size for file in files)) as incoming:
        missing = [file for file in files if not _verified(folder, file.name, file.sha256)]
        failures: dict[Source, Exception] = {}
        for source in sources:
            if not missing:
                return
            try:
                _download(missing, source, folder, incoming)
            except Exception as error:  # After any error, the next source is tried.
                failures[source] = error
                _log.info("not downloaded from %s: %s", source, _one_line(error))
            missing = [file for file in missing if not _unchanged(folder, file.name, file.sha256)]
        if missing:
            raise _failure(missing, failures)


def _download(files: Sequence[PinnedFile], source: Source, folder: Path, incoming: Path) -> None:
    offered = [file for file in files if source.offers(file)]
    if not offered:
        raise ModelFileError(f"does not have {_names(files)}")
    _log.info("downloading %s from %s", _names(offered), source)
    fetched = Path(tempfile.mkdtemp(dir=incoming))
    source.fetch(offered, fetched)
    good = [file for file in offered if file.matches(fetched / file.name)]
    for file in good:
        _place(fetched / file.name, folder, file.name, file.sha256)
    if len(good) < len(offered):
        raise ModelFileError(f"sent wrong data for {_names([file for file in offered if file not in good])}")


def _failure(files: Sequence[PinnedFile], failures: Mapping[Source, Exception]) -> Exception:
    for error in failures.values():
        if is_full(error):
            return error
    if not failures:
        return ModelFileError(
            f"{_names(files)} of this model are not in the cache, and local_files_only allows no download; load it once"
            " without local_files_only."
        )
    reasons = [f"  - {source}: {_one_line(error)}" for source, error in failures.items()]
    remedies = [source.by_hand(files) for source in failures if all(map(source.offers, files))]
    return ModelFileError("\n".join([f"Cannot download {_names(files)}:", *reasons, *remedies[-1:]]))


@contextlib.contextmanager
def _temporary_folder(folder: Path, needed: int = 0) -> Iterator[Path]:
    """Create and lock `folder` and yield a temporary folder in it; `needed` bytes appear in the error message."""
    from filelock import FileLock

    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        with FileLock(folder / ".lock", is_singleton=True) as lock:
            # A temporary folder found by the outermost lock was left behind by a process that died.
            if lock.lock_counter == 1:
                for left in folder.glob(".incoming-*"):
                    shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder, ignore_cleanup_errors=True) as incoming:
                yield Path(incoming)
    except OSError as error:
        if (failure := disk_error(error, folder, OTHER_CACHE, needed)) is not None:
            raise failure from error
        raise


def _verified(folder: Path, name: str, sha256: str | None = None) -> bool:
    """Return whether a file is intact; a file that changed since its last verification is hashed. Needs the lock."""
    if _unchanged(folder, name, sha256):
        return True
    path = folder / name
    sha256 = sha256 or _stamps(folder).get(name, {}).get("sha256")
    if sha256 is None or not path.is_file():
        return False
    if sha256_of(path) != sha256:
        _log.warning("%s is damaged and will be replaced", path)
        return False
    _stamp(folder, name, sha256)
    return True


def _unchanged(folder: Path, name: str, sha256: str | None = None) -> bool:
    """Return whether a file still has the size and modification time of its last verification."""
    stamp = _stamps(folder).get(name)
    return stamp is not None and stamp == _entry(folder / name, sha256 or stamp.get("sha256", ""))


def _place(new: Path, folder: Path, name: str, sha256: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    new.replace(folder / name)
    _stamp(folder, name, sha256)


def _stamp(folder: Path, name: str, sha256: str) -> None:
    new = folder / f".{_STAMPS}.new"
    new.write_text(json.dumps({**_stamps(folder), name: _entry(folder / name, sha256)}, indent=1), "utf-8")
    new.replace(folder / _STAMPS)


def _stamps(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        stamps = json.loads((folder / _STAMPS).read_text("utf-8"))
        return {name: stamp for name, stamp in stamps.items() if isinstance(stamp, dict)}
    except (OSError, ValueError, AttributeError):  # If the record is missing or damaged, all files are hashed.
        return {}


def _entry(path: Path, sha256: str) -> dict[str, Any] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}


def _names(files: Sequence[PinnedFile]) -> str:
    return ", ".join(file.name for file in files)


def _one_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, ModelFileError) else f"{type(error).__name__}: {text}"
