"""The files of a corpus: found by paths, folders, globs and URLs, and known by size and time of change."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from minilm_jax.config import CorpusFormat
from minilm_jax.errors import InputError
from minilm_jax.scale.job import Job
from minilm_jax.scale.store import Folder, filesystem

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
# What stores call the content's identity, or the time of its last change; the surest first.
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")


@dataclasses.dataclass(frozen=True)
class InputFile:
    """One file of the corpus.

    Attributes:
        url: With its protocol, absolute.
        size: In bytes.
        version: The store's ETag or time of change, and of a Parquet file the sha256 of its footer too.
        format: How its rows are written.
        compression: What it is compressed with as a whole, or None.
    """

    url: str
    size: int
    version: str
    format: CorpusFormat
    compression: str | None


def find_inputs(job: Job) -> list[InputFile]:
    """Finds the files of a job, each once, in the order of their URLs.

    In a folder, files of other suffixes are left out, and names that begin with `_` or `.`, as engines do.

    Raises:
        InputError: There is no such file, or its suffix does not tell its format.
    """
    out = Folder(job.out).url + "/"
    files = {file.url: file for given in job.inputs for file in _found(given, job.input_format)}
    return [files[url] for url in sorted(files) if not url.startswith(out)]


def _found(given: str, format: CorpusFormat | None) -> Iterator[InputFile]:
    fs, path = filesystem(given)
    entries = _entries(fs, path)
    if not entries:
        raise InputError(f"there is no input {given}; it may be a file, a folder, a glob or a URL.")
    files = [file for entry in entries if (file := _file(fs, entry, format))]
    if not files:
        raise InputError(f"{given}: no suffix is one of {', '.join(_FORMATS)}; name the format with --from.")
    yield from files


def _entries(fs: Any, path: str) -> list[Mapping[str, Any]]:
    if fs.isfile(path):
        return [fs.info(path)]
    if fs.isdir(path):
        inside = fs.find(path, detail=True).items()
        return [info for name, info in inside if not _hidden(name.removeprefix(path))]
    return (
        [info for info in fs.glob(path, detail=True).values() if info["type"] == "file"] if {*"*?["} & {*path} else []
    )


def _hidden(name: str) -> bool:
    return any(piece.startswith(("_", ".")) for piece in name.split("/"))


def _file(fs: Any, info: Mapping[str, Any], format: CorpusFormat | None) -> InputFile | None:
    name = PurePosixPath(info["name"])
    compression = _COMPRESSIONS.get(name.suffix)
    format = format or _FORMATS.get(name.with_suffix("").suffix if compression else name.suffix)
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    url = fs.unstrip_protocol(info["name"])
    return InputFile(url, info["size"] or 0, version, format, compression) if format else None
