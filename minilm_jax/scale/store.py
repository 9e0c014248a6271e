"""Files wherever fsspec finds them: read, listed, and written under a temporary name that is then renamed."""

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from minilm_jax.errors import InputError

TEMPORARY = "_minilm_jax_temporary"


def filesystem(url: str) -> tuple[Any, str]:
    """Returns the filesystem of a path or URL, whose types fsspec leaves open, and the path in it.

    Raises:
        InputError: No installed package knows the protocol, or a path alone does not lead there: a host is named, or a
            file inside another one.
    """
    try:
        fs, path = fsspec.core.url_to_fs(url)
        again, _ = fsspec.core.url_to_fs(fs.unstrip_protocol(path))
    except (ImportError, OSError, TypeError, ValueError) as error:
        raise InputError(f"{url}: {error}") from None
    if again != fs:
        raise InputError(f"{url} names more than a path, which would be lost on the way; mount it, or copy it first.")
    return fs, path


def shown(url: str) -> str:
    """Returns a URL as people write it: a local file by its path."""
    return url.removeprefix("file://")


class Folder:
    """The folder that shards are written to; names in it have no leading slash.

    Attributes:
        url: With its protocol, absolute.
    """

    def __init__(self, url: str) -> None:
        """Names a folder, there or not."""
        self._fs, self._path = filesystem(url)
        self.url = self._fs.unstrip_protocol(self._path).rstrip("/")

    @property
    def local(self) -> Path | None:
        """Its path, or None where it is no folder of this machine."""
        return Path(self._path) if isinstance(self._fs, LocalFileSystem) else None

    def create(self, *subfolders: str) -> None:
        """Makes the folder and these in it, with one for temporary files."""
        for name in (*subfolders, TEMPORARY):
            self._fs.makedirs(self._at(name), exist_ok=True)

    def remove_temporary(self) -> list[str]:
        """Removes temporary files, and returns their names."""
        left = self.names(TEMPORARY)
        if self._fs.exists(self._at(TEMPORARY)):
            self._fs.rm(self._at(TEMPORARY), recursive=True)
        return left

    def names(self, subfolder: str = "") -> list[str]:
        """Returns the names in it or in a folder of it, none where there is no such folder."""
        self._fs.invalidate_cache()
        path = self._at(subfolder)
        entries = self._fs.ls(path, detail=False) if self._fs.isdir(path) else []
        return sorted(entry.rstrip("/").rpartition("/")[2] for entry in entries)

    def read(self, name: str) -> Any:
        """Returns what a JSON file says, or None where it is missing or damaged."""
        try:
            return json.loads(self._fs.cat_file(self._at(name)))
        except (FileNotFoundError, ValueError):
            return None

    def read_all(self, subfolder: str) -> Mapping[str, Any]:
        """Returns what the JSON files of a folder say, by their names without the suffix."""
        names = [name for name in self.names(subfolder) if name.endswith(".json")]
        return {name.removesuffix(".json"): self.read(f"{subfolder}/{name}") for name in names}

    @contextlib.contextmanager
    def written(self, name: str) -> Iterator[BinaryIO]:
        """Opens a new file, which takes its name when the block ends well, and leaves nothing behind otherwise."""
        temporary = self._at(f"{TEMPORARY}/{name.rpartition('/')[2]}.{uuid.uuid4().hex}")
        try:
            with self._fs.open(temporary, "wb") as file:
                yield file
            self._fs.mv(temporary, self._at(name))
        except BaseException:
            with contextlib.suppress(OSError):
                self._fs.rm(temporary)
            raise

    def write(self, name: str, value: Any) -> None:
        """Writes a JSON file."""
        with self.written(name) as file:
            file.write(json.dumps(value, ensure_ascii=False, indent=1).encode())

    def open(self, name: str) -> Any:
        """Opens a file for reading."""
        return self._fs.open(self._at(name), "rb")

    def remove(self, *names: str) -> None:
        """Removes files, such as are there."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._path.rstrip('/')}/{name}".rstrip("/")
