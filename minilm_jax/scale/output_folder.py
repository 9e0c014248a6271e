"""The output folder before and after a run: its lock, its settings, and the removal of outdated shards."""

import collections
import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout

from minilm_jax.errors import InputError
from minilm_jax.scale.column_types import describe_changes
from minilm_jax.scale.inputs import resolve_url
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part
from minilm_jax.scale.model import Model
from minilm_jax.scale.shards import REJECTS, SIDECARS, remove_shard
from minilm_jax.scale.store import TEMPORARY, Store, display_url

FAILED = "_failed"
_JOB, _LOCK, _FORMAT = "_job.json", "_lock", 1
_SHARE = re.compile(r"\d+-of-(\d+)")
_SHARD = re.compile(r"(.*-[0-9a-f]{10}-p\d{5,}-s\d{5,})\.parquet")
# Messages name these settings by their command-line options.
_OPTIONS = {
    "text_column": "--text-column",
    "vector_column": "--vector-column",
    "precision": "--precision",
    "dtype": "--dtype",
    "shard_rows": "--shard-rows",
    "model": "--model or --max-seq-length",
}


def common_settings(job: Job, parts: Sequence[Part]) -> dict[str, Any]:
    """Return the settings that all shards of a folder share, except those that need the model."""
    return {
        "format": _FORMAT,
        "text_column": job.text_column,
        "columns": {field.name: str(field.type) for field in parts[0].columns} if parts else {},
        "vector_column": job.vector_column,
        "precision": job.precision,
        "dtype": job.dtype,
        "shard_rows": job.shard_rows,
    }


def check_settings(
    store: Store, settings: Mapping[str, Any], columns: pa.Schema | None = None, *, write: bool = True
) -> None:
    """Compare settings with the recorded ones.

    Args:
        store: The output folder.
        settings: Settings of this run.
        columns: Columns that are kept, to explain why they differ.
        write: Whether to record settings that are not recorded yet.

    Raises:
        InputError: A setting differs from the recorded one.
    """
    recorded = store.read_json(_JOB) or {}
    for key, value in settings.items():
        if recorded.get(key, value) != value:
            if key == "columns" and columns is not None:
                changes = describe_changes(recorded[key], columns)
                raise InputError(
                    f"{display_url(store.url)} was started with other columns: {changes}."
                    " Pass the same inputs and, if it was given, the same --keep, or another folder with --out."
                )
            raise InputError(
                f"{display_url(store.url)} was started with another {_OPTIONS.get(key, key)} ({_short(recorded[key])},"
                f" now {_short(value)}); pass the same, or another folder with --out."
            )
    if write and settings.keys() - recorded.keys():
        store.write_json(_JOB, {**recorded, **settings})


@contextlib.contextmanager
def prepare_folder(job: Job, parts: Sequence[Part], *, prune: bool = False) -> Iterator[list[str]]:
    """Lock the output folder for a run, and remove incomplete and outdated files.

    Args:
        job: Settings of the run.
        parts: The whole manifest.
        prune: Whether to remove the shards of inputs that are not in the manifest.

    Yields:
        One sentence for each kind of file that was removed.

    Raises:
        InputError: Another run is using the folder, it was started with other settings, or it contains other files.
        OSError: The folder cannot be written to.
    """
    store = Store(job.out)
    if store.local_path is not None and store.local_path.is_file():
        raise InputError(f"{display_url(store.url)} is a file; choose a folder with --out.")
    if _JOB not in (names := store.list_names()) and not {*names} <= {_LOCK, TEMPORARY}:
        raise InputError(f"{display_url(store.url)} contains other files; choose an empty folder with --out.")
    store.create()
    with _locked(store):
        columns = parts[0].columns if parts else None
        check_settings(store, common_settings(job, parts), columns, write=False)
        removed = [*_remove_outdated(store, job, parts, prune=prune), *_remove_incomplete(store)]
        store.create()
        check_settings(store, common_settings(job, parts), columns)
        store.create(SIDECARS, REJECTS, FAILED)
        try:
            yield removed
        finally:
            store.remove_temporary()


def job_of_share(job: Job, number: int, count: int) -> Job:
    """Return the job with the output folder of one of its shares.

    Args:
        job: Settings of the whole run.
        number: Number of the share, from 0.
        count: Number of shares.

    Raises:
        InputError: The job's folder contains a whole run, or shares of another count.
    """
    if count == 1:
        return job
    store = Store(job.out)
    shares = [match for name in store.list_names() if (match := _SHARE.fullmatch(name))]
    conflicts = [match[0] for match in shares if int(match[1]) != count]
    if store.read_json(_JOB) is not None:
        conflicts.append(_JOB)
    if conflicts:
        raise InputError(
            f"{display_url(store.url)} contains {conflicts[0]}, so --share {number}/{count} would write rows twice;"
            " choose another folder with --out."
        )
    return dataclasses.replace(job, out=f"{job.out.rstrip('/')}/{number}-of-{count}")


@contextlib.contextmanager
def _locked(store: Store) -> Iterator[None]:
    # Remote filesystems have no locks.
    if store.local_path is None:
        yield
        return
    try:
        lock = FileLock(store.local_path / _LOCK).acquire(timeout=0)
    except Timeout:
        message = (
            f"another run is writing to {display_url(store.url)}; wait for it, or choose another folder with --out."
        )
        raise InputError(message) from None
    with lock:  # The operating system releases the lock when the process ends, even if it is killed.
        yield


def _remove_outdated(store: Store, job: Job, parts: Sequence[Part], *, prune: bool) -> Iterator[str]:
    """Remove the shards of inputs that changed or are no longer given, so that no row occurs twice."""
    parts_of_file = {part.file.url: part for part in parts}
    changed, missing = collections.defaultdict(list), collections.defaultdict(list)
    for name, sidecar in store.read_all_json(SIDECARS).items():
        source = sidecar.get("from") if isinstance(sidecar, dict) else None
        if not source:
            changed["a damaged sidecar"].append(name)
            continue
        # A link that led to this file may lead to another one now.
        found_at = sidecar.get("found_at", source["url"])
        part = parts_of_file.get(source["url"]) or parts_of_file.get(resolve_url(found_at))
        if part is None:
            missing[source["url"]].append(name)
        elif not part.file.problem and not _belongs_to(part, name, source):
            changed[part.file.found_at].append(name)
    if missing and not prune:
        raise InputError(
            f"{display_url(store.url)} contains shards of {len(missing)} inputs that are not given now, such as"
            f" {display_url(min(missing))}; pass these inputs too, or remove their shards with --prune."
        )
    if changed or missing:
        # The model is checked before anything is removed.
        check_settings(store, Model(job).settings, write=False)
    for shards, reason in ((changed, "has changed; its shards are rebuilt"), (missing, "is not an input any more")):
        for url, names in shards.items():
            for name in names:
                remove_shard(store, name)
            yield f"{display_url(url)} {reason}: {len(names)} removed."
    current = {f"{part.name}.json" for part in parts}
    store.remove(*(f"{FAILED}/{name}" for name in store.list_names(FAILED) if name not in current))


def _belongs_to(part: Part, shard: str, source: Mapping[str, Any]) -> bool:
    """Return whether a shard was written from the file of a part, in its present version and under its present name."""
    file, prefix = part.file, part.name.rpartition("-p")[0]
    return (
        (source["url"], source["size"], shard.rpartition("-p")[0]) == (file.url, file.size, prefix)
        and source["version"].startswith(file.version)
    )  # fmt: skip


def _remove_incomplete(store: Store) -> Iterator[str]:
    """Remove the files that a killed run left: temporary files, and shards without a sidecar."""
    sidecars = set(store.list_names(SIDECARS))
    shards = [match[1] for name in store.list_names() if (match := _SHARD.fullmatch(name))]
    incomplete = [name for name in shards if f"{name}.json" not in sidecars]
    for name in incomplete:
        remove_shard(store, name)
    if count := len(store.remove_temporary()) + len(incomplete):
        yield f"{count} unfinished files of an earlier run were removed."


def _short(value: Any) -> str:
    return f"{value:.12}" if isinstance(value, str) else str(value)
