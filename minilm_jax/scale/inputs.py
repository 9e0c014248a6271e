"""Discovery of the files of a corpus from paths, folders, globs and URLs."""

import dataclasses
import glob
import logging
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from minilm_jax.config import CorpusFormat
from minilm_jax.errors import InputError
from minilm_jax.scale import local_files
from minilm_jax.scale.job import Job
from minilm_jax.scale.store import Store, display_url, filesystem

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
    ".tsv": "tsv",
}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
# Filesystems report a hash of the content or the time of the last change under these keys, most reliable first.
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")

_log = logging.getLogger("minilm_jax")


@dataclasses.dataclass(frozen=True)
class InputFile:
    """One file of the corpus.

    Attributes:
        url: Absolute URL, with its protocol. That of a local file has no symbolic links, so it identifies the file.
        found_at: Absolute URL under which the file was found; it may contain symbolic links.
        size: Size in bytes.
        version: ETag or time of the last change; `inspect` adds the sha256 of the footer of Parquet files.
        format: File format; "csv" also for "tsv".
        compression: Compression of the whole file, or None.
        problem: Why the file cannot be opened, or None.
        delimiter: Character between the fields of a CSV file; None for other formats.
    """

    url: str
    found_at: str
    size: int
    version: str
    format: CorpusFormat
    compression: str | None
    problem: str | None = None
    delimiter: str | None = None

    def __str__(self) -> str:
        """Return the name of the file for messages."""
        return display_url(self.found_at)


def find_inputs(job: Job) -> list[InputFile]:
    """Find the files of a job, sorted by URL. A file that is found under several names is returned once.

    In folders, files with unknown suffixes and names that begin with `_` or `.` are skipped, as other engines do, and
    so are folders that `embed_corpus` wrote.

    Raises:
        InputError: An input does not exist, or its format cannot be inferred from the suffix.
    """
    out, found = Store(job.out), dict[str, InputFile]()
    for given in job.inputs:
        if _is_in(out, resolve_url(given)):
            _log.info("%s is in the output folder and is skipped.", display_url(given))
            continue
        for file in _find(given, job.input_format, out):
            # The name without links is preferred, so that the choice does not depend on the order of the inputs.
            names = file, found.get(file.url, file)
            found[file.url] = min(names, key=lambda file: (file.found_at != file.url, file.found_at))
    return [_with_delimiter(found[url], job.delimiter) for url in sorted(found) if not _is_in(out, url)]


def _with_delimiter(file: InputFile, delimiter: str | None) -> InputFile:
    default = _DELIMITERS.get(file.format)
    if default is None:
        return file
    used = delimiter or default
    # Another delimiter gives other texts, so it belongs to the version.
    version = file.version if used == default else f"{file.version} delimiter {used!r}"
    return dataclasses.replace(file, format="csv", delimiter=used, version=version)


def resolve_url(url: str) -> str:
    """Return the URL that identifies a file: that of a local file without symbolic links."""
    fs, path = filesystem(url)
    return fs.unstrip_protocol(local_files.resolve(path)) if isinstance(fs, LocalFileSystem) else url


def _is_in(out: Store, url: str) -> bool:
    return f"{url}/".startswith(f"{out.url}/")


def _find(given: str, format: CorpusFormat | None, out: Store) -> Iterator[InputFile]:
    fs, path = filesystem(given)
    entries = _local_entries(fs, path, out) if isinstance(fs, LocalFileSystem) else _remote_entries(fs, path)
    if not entries:
        reason = "contains no files" if fs.isdir(path) else "does not exist"
        raise InputError(f"input {display_url(given)} {reason}; pass a file, a folder, a glob or a URL.")
    files = [file for found_at, info in entries if (file := _input_file(fs, found_at, info, format))]
    if not files:
        raise InputError(
            f"{display_url(given)}: the format cannot be inferred from the suffix ({', '.join(_FORMATS)}); pass it with"
            " --from."
        )
    yield from files


def _local_entries(fs: Any, path: str, out: Store) -> list[tuple[str, Mapping[str, Any]]]:
    entries = []
    for file in local_files.find_files(path, str(out.local_path)):
        real = local_files.resolve(file)
        info = local_files.problem_of(file)
        entries.append((local_files.absolute(file), {"name": real, **info} if info else fs.info(real)))
    return entries


def _remote_entries(fs: Any, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    if fs.isfile(path):
        return [(path, fs.info(path))]
    if not fs.isdir(path):
        found = fs.glob(path, detail=True) if glob.has_magic(path) else {}
        return [(name, info) for name, info in found.items() if info["type"] == "file"]
    found = fs.find(path, detail=True)
    folders = {PurePosixPath(name).parent for name in found if name.endswith(f"/{local_files.OUTPUT_MARKER}")}
    outputs = folders - {PurePosixPath(path)}
    return [
        (name, info)
        for name, info in found.items()
        if not _is_hidden(name.removeprefix(path)) and outputs.isdisjoint(PurePosixPath(name).parents)
    ]


def _is_hidden(name: str) -> bool:
    return any(piece.startswith(("_", ".")) for piece in name.split("/"))


def _input_file(fs: Any, found_at: str, info: Mapping[str, Any], format: CorpusFormat | None) -> InputFile | None:
    # A link may have another suffix than its target, as in the cache of the Hugging Face hub.
    guesses = [_guess_format(PurePosixPath(name)) for name in (found_at, info["name"])]
    guessed, compression = next((guess for guess in guesses if guess[0]), guesses[0])
    format = format or guessed or info.get("format")
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    urls = fs.unstrip_protocol(info["name"]), fs.unstrip_protocol(found_at)
    size, problem = info.get("size") or 0, info.get("problem")
    return InputFile(*urls, size, version, format, compression, problem) if format else None


def _guess_format(name: PurePosixPath) -> tuple[CorpusFormat | None, str | None]:
    compression = _COMPRESSIONS.get(name.suffix.lower())
    suffix = name.with_suffix("").suffix if compression else name.suffix
    return _FORMATS.get(suffix.lower()), compression
