"""The folder before and after a run: who may write to it, what it was begun with, and what in it is out of date."""

import collections
import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from filelock import FileLock, Timeout

from minilm_jax.errors import InputError
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part
from minilm_jax.scale.shards import REJECTS, SIDECARS, remove_shard
from minilm_jax.scale.store import TEMPORARY, Folder, shown

FAILED = "_failed"
_JOB, _LOCK, _FORMAT = "_job.json", "_lock", 1
_SHARE = re.compile(r"\d+-of-(\d+)")
_SHARD = re.compile(r"(.*-[0-9a-f]{10}-p\d{5,}-s\d{5,})\.parquet")
# In the words of the command line.
_OPTIONS = {
    "text_column": "--text-column",
    "columns": "--keep",
    "vector_column": "--vector-column",
    "precision": "--precision",
    "dtype": "--dtype",
    "shard_rows": "--shard-rows",
    "model": "--model, or its --max-seq-length,",
}


def common_settings(job: Job, parts: Sequence[Part]) -> dict[str, Any]:
    """Returns what all shards of a folder have in common, as far as it is known without the model."""
    return {
        "format": _FORMAT,
        "text_column": job.text_column,
        "columns": {field.name: str(field.type) for field in parts[0].columns} if parts else {},
        "vector_column": job.vector_column,
        "precision": job.precision,
        "dtype": job.dtype,
        "shard_rows": job.shard_rows,
    }


def agree(folder: Folder, settings: Mapping[str, Any], *, write: bool = True) -> None:
    """Compares settings with those that a folder was begun with, and records them where there are none.

    Raises:
        InputError: They differ.
    """
    begun = folder.read(_JOB) or {}
    for key, wanted in settings.items():
        if begun.get(key, wanted) != wanted:
            raise InputError(
                f"{shown(folder.url)} was begun with another {_OPTIONS.get(key, key)} ({_short(begun[key])}, now"
                f" {_short(wanted)}); give the same, or another folder with --out."
            )
    if write and settings.keys() - begun.keys():
        folder.write(_JOB, {**begun, **settings})


@contextlib.contextmanager
def prepared(job: Job, parts: Sequence[Part], *, prune: bool = False) -> Iterator[list[str]]:
    """Locks a folder, and removes from it what an earlier run left half done or what is out of date.

    Args:
        job: What is wanted.
        parts: The whole manifest.
        prune: Whether to remove the shards of inputs that are no longer among them.

    Yields:
        What was removed and why, in sentences.

    Raises:
        InputError: Another run is at work in it, it was begun with other settings, or it holds something else.
        OSError: It cannot be written to.
    """
    folder = Folder(job.out)
    if _JOB not in (names := folder.names()) and not {*names} <= {_LOCK, TEMPORARY}:
        raise InputError(f"{shown(folder.url)} holds other files; choose an empty folder with --out.")
    folder.create()
    with _locked(folder):
        agree(folder, common_settings(job, parts), write=False)
        removed = [*_remove_outdated(folder, job, parts, prune=prune), *_remove_halves(folder)]
        folder.create()
        agree(folder, common_settings(job, parts))
        folder.create(SIDECARS, REJECTS, FAILED)
        try:
            yield removed
        finally:
            folder.remove_temporary()


def shared(job: Job, number: int, count: int) -> Job:
    """Returns a job with the folder of one of its shares.

    Raises:
        InputError: The job's own folder holds a whole run, or shares of another number.
    """
    if count == 1:
        return job
    folder = Folder(job.out)
    shares = [m for name in folder.names() if (m := _SHARE.fullmatch(name))]
    others = [m[0] for m in shares if int(m[1]) != count] + [_JOB] * (folder.read(_JOB) is not None)
    if others:
        raise InputError(
            f"{shown(folder.url)} holds {others[0]}, and with --share {number}/{count} rows would be there twice;"
            " choose another folder with --out."
        )
    return dataclasses.replace(job, out=f"{job.out.rstrip('/')}/{number}-of-{count}")


@contextlib.contextmanager
def _locked(folder: Folder) -> Iterator[None]:
    if folder.local is None:  # Stores far away have no locks.
        yield
        return
    try:
        lock = FileLock(folder.local / _LOCK).acquire(timeout=0)
    except Timeout:
        message = f"another run is writing to {shown(folder.url)}; wait for it, or choose another folder with --out."
        raise InputError(message) from None
    with lock:  # It goes with the process, however that ends.
        yield


def _remove_outdated(folder: Folder, job: Job, parts: Sequence[Part], *, prune: bool) -> Iterator[str]:
    """Removes the shards of inputs that have changed, or that are none any more, so that no row is there twice."""
    files = {part.file.url: part.file for part in parts}
    changed, gone = collections.defaultdict(list), collections.defaultdict(list)
    for name, said in folder.read_all(SIDECARS).items():
        source = said.get("from") if isinstance(said, dict) else None
        if not source:
            changed["a damaged sidecar"].append(name)
        elif (file := files.get(source["url"])) is None:
            gone[source["url"]].append(name)
        elif source["size"] != file.size or not source["version"].startswith(file.version):
            changed[source["url"]].append(name)
    if gone and not prune:
        raise InputError(
            f"{shown(folder.url)} holds shards of {len(gone)} inputs that are not given now, such as"
            f" {shown(min(gone))}; give them too, or remove their shards with --prune."
        )
    if changed or gone:
        from minilm_jax.scale.model import Model  # Before anything is lost to another one.

        agree(folder, Model(job).settings, write=False)
    for shards, why in ((changed, "has changed; its shards are made anew"), (gone, "is no input now")):
        for url, names in shards.items():
            for name in names:
                remove_shard(folder, name)
            yield f"{shown(url)} {why}: {len(names)} removed."
    current = {f"{part.name}.json" for part in parts}
    folder.remove(*(f"{FAILED}/{name}" for name in folder.names(FAILED) if name not in current))


def _remove_halves(folder: Folder) -> Iterator[str]:
    """Removes what a killed run left: temporary files, and shards that have no sidecar yet."""
    whole = set(folder.names(SIDECARS))
    halves = [m[1] for name in folder.names() if (m := _SHARD.fullmatch(name)) and f"{m[1]}.json" not in whole]
    for name in halves:
        remove_shard(folder, name)
    if left := len(folder.remove_temporary()) + len(halves):
        yield f"{left} unfinished files of an earlier run were removed."


def _short(value: Any) -> str:
    return f"{value:.12}" if isinstance(value, str) else str(value)
