"""Files on any filesystem that fsspec supports. A new file has a temporary name until it is complete."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from minilm_jax.errors import InputError
from minilm_jax.scale.local_files import resolve

TEMPORARY = "_minilm_jax_temporary"


def filesystem(url: str) -> tuple[Any, str]:
    """Return the filesystem of a path or URL, and the path in it.

    Args:
        url: Local path, or URL with a protocol that fsspec supports.

    Returns:
        The fsspec filesystem, which fsspec does not type, and the path.

    Raises:
        InputError: No installed package supports the protocol, or the path alone does not identify the file: the URL
            names a host, or a file inside another one.
    """
    if not url:
        raise InputError('a path is ""; pass the name of a file or folder.')
    if os.path.lexists(url):  # The name of an existing file may look like a URL.
        return LocalFileSystem(), Path(url).absolute().as_posix()
    if url.startswith("file://") or "://" not in url:  # The path may contain "::", which separates URLs.
        return LocalFileSystem(), str(LocalFileSystem._strip_protocol(url))
    try:
        fs, path = fsspec.core.url_to_fs(url)
        from_path, _ = fsspec.core.url_to_fs(fs.unstrip_protocol(path))
    except (ImportError, OSError, TypeError, ValueError) as error:
        raise InputError(f"{url}: {error}") from None
    if from_path != fs:
        raise InputError(
            f"{url}: a host, or a file inside another file, is not supported; mount the filesystem, or copy the file."
        )
    return fs, path


def display_url(url: str) -> str:
    """Return a URL as shown in messages: local files by their path, and unprintable characters and bytes escaped."""
    return "".join(map(_printable, url.removeprefix("file://")))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


class Store:
    """The output folder on its filesystem. Names in it have no leading slash.

    Attributes:
        url: Absolute URL of the folder, with its protocol.
    """

    def __init__(self, url: str) -> None:
        """Set the folder, which need not exist yet.

        Args:
            url: Local path, or URL with a protocol that fsspec supports.
        """
        self._fs, path = filesystem(url)
        # Links could lead to another folder during the run, and two names of one folder must not look different.
        self._path = resolve(path) if isinstance(self._fs, LocalFileSystem) else path
        self.url = self._fs.unstrip_protocol(self._path).rstrip("/")

    @property
    def local_path(self) -> Path | None:
        """Path of the folder, or None if it is not on a local filesystem."""
        return Path(self._path) if isinstance(self._fs, LocalFileSystem) else None

    def create(self, *subfolders: str) -> None:
        """Create the folder with some subfolders, and the one for temporary files."""
        for name in (*subfolders, TEMPORARY):
            self._fs.makedirs(self._full_path(name), exist_ok=True)

    def remove_temporary(self) -> list[str]:
        """Remove all temporary files, and return their names."""
        names = self.list_names(TEMPORARY)
        if self._fs.exists(self._full_path(TEMPORARY)):
            self._fs.rm(self._full_path(TEMPORARY), recursive=True)
        return names

    def list_names(self, subfolder: str = "") -> list[str]:
        """Return the names in the folder or a subfolder, sorted; empty if it does not exist."""
        self._fs.invalidate_cache()
        path = self._full_path(subfolder)
        entries = self._fs.ls(path, detail=False) if self._fs.isdir(path) else []
        return sorted(entry.rstrip("/").rpartition("/")[2] for entry in entries)

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file, or None if it is missing or damaged."""
        try:
            return json.loads(self._fs.cat_file(self._full_path(name)))
        except (FileNotFoundError, ValueError):
            return None

    def read_all_json(self, subfolder: str) -> Mapping[str, Any]:
        """Return the contents of the JSON files in a subfolder, by their names without the suffix."""
        names = [name for name in self.list_names(subfolder) if name.endswith(".json")]
        return {name.removesuffix(".json"): self.read_json(f"{subfolder}/{name}") for name in names}

    @contextlib.contextmanager
    def new_file(self, name: str) -> Iterator[BinaryIO]:
        """Open a new file, which gets its name when the block succeeds and is removed otherwise."""
        temporary = self._full_path(f"{TEMPORARY}/{name.rpartition('/')[2]}.{uuid.uuid4().hex}")
        try:
            with self._fs.open(temporary, "wb") as file:
                yield file
            self._fs.mv(temporary, self._full_path(name))
        except BaseException:
            with contextlib.suppress(OSError):
                self._fs.rm(temporary)
            raise

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file."""
        with self.new_file(name) as file:
            # File names may contain bytes that are not UTF-8. They become \\u escapes, as JSON spells them.
            file.write(json.dumps(value, ensure_ascii=False, indent=1).encode(errors="backslashreplace"))

    def open(self, name: str) -> Any:
        """Open a file for reading in binary mode."""
        return self._fs.open(self._full_path(name), "rb")

    def remove(self, *names: str) -> None:
        """Remove the files that exist."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm(self._full_path(name))

    def _full_path(self, name: str) -> str:
        return f"{self._path.rstrip('/')}/{name}".rstrip("/")
