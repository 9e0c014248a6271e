"""Discovery of the files of a corpus from paths, folders, globs and URLs."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from minilm_jax.config import CorpusFormat
from minilm_jax.errors import InputError
from minilm_jax.scale.job import Job
from minilm_jax.scale.store import Store, filesystem

_FORMATS: Mapping[str, CorpusFormat] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
# Filesystems report a hash of the content or the time of the last change under these keys, most reliable first.
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")


@dataclasses.dataclass(frozen=True)
class InputFile:
    """One file of the corpus.

    Attributes:
        url: Absolute URL, with its protocol.
        size: Size in bytes.
        version: ETag or time of the last change; `inspect` adds the sha256 of the footer of Parquet files.
        format: File format.
        compression: Compression of the whole file, or None.
    """

    url: str
    size: int
    version: str
    format: CorpusFormat
    compression: str | None


def find_inputs(job: Job) -> list[InputFile]:
    """Find the files of a job, without duplicates, sorted by URL.

    In folders, files with unknown suffixes and names that begin with `_` or `.` are skipped, as other engines do.

    Raises:
        InputError: An input does not exist, or its format cannot be inferred from the suffix.
    """
    out = Store(job.out).url + "/"
    files = {file.url: file for given in job.inputs for file in _find(given, job.input_format)}
    return [files[url] for url in sorted(files) if not url.startswith(out)]


def _find(given: str, format: CorpusFormat | None) -> Iterator[InputFile]:
    fs, path = filesystem(given)
    entries = _entries(fs, path)
    if not entries:
        raise InputError(f"input {given} does not exist; pass a file, a folder, a glob or a URL.")
    files = [file for entry in entries if (file := _input_file(fs, entry, format))]
    if not files:
        raise InputError(
            f"{given}: the format cannot be inferred from the suffix ({', '.join(_FORMATS)}); pass it with --from."
        )
    yield from files


def _entries(fs: Any, path: str) -> list[Mapping[str, Any]]:
    if fs.isfile(path):
        return [fs.info(path)]
    if fs.isdir(path):
        found = fs.find(path, detail=True).items()
        return [info for name, info in found if not _is_hidden(name.removeprefix(path))]
    if not {*"*?["} & {*path}:
        return []
    return [info for info in fs.glob(path, detail=True).values() if info["type"] == "file"]


def _is_hidden(name: str) -> bool:
    return any(piece.startswith(("_", ".")) for piece in name.split("/"))


def _input_file(fs: Any, info: Mapping[str, Any], format: CorpusFormat | None) -> InputFile | None:
    name = PurePosixPath(info["name"].lower())
    compression = _COMPRESSIONS.get(name.suffix)
    format = format or _FORMATS.get(name.with_suffix("").suffix if compression else name.suffix)
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    url = fs.unstrip_protocol(info["name"])
    return InputFile(url, info["size"] or 0, version, format, compression) if format else None
