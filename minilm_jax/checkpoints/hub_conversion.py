"""Models that the hub has as ONNX only."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minilm_jax.checkpoints.disk_errors import OTHER_CACHE, disk_error
from minilm_jax.checkpoints.hub import repository
from minilm_jax.checkpoints.hub_files import graph_files, local_modules, local_names, settings_files, weight_files
from minilm_jax.converter import import_converter
from minilm_jax.errors import MinilmJaxError


@contextlib.contextmanager
def onnx_copy(folder: Path, name: str) -> Iterator[Path]:
    """Yield the ONNX file of a downloaded model, in a temporary copy of its folder.

    The hub's cache consists of links, and the converter does not follow links.

    Args:
        folder: The folder in the hub's cache.
        name: The name of the model, for error messages.
    """
    folders, names = local_modules(folder), local_names(folder)
    graph = graph_files(names)[0]
    with tempfile.TemporaryDirectory(prefix="minilm-jax-") as scratch:
        copy = Path(scratch) / name.rpartition("/")[2]
        for file in {*settings_files(names, folders), *weight_files(names, folders, onnx=True)}:
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / file, copy / file)
        try:
            yield copy / graph
        except MinilmJaxError as error:
            raise type(error)(str(error).replace(str(copy), repository(name))) from error.__cause__


def converted(folder: Path, name: str, target: Path) -> Path:
    """Return the folder of a model that the hub has as ONNX only; the first call converts it.

    Args:
        folder: The folder in the hub's cache.
        name: The name of the model.
        target: The folder for the converted model.

    Raises:
        ModelFileError: The folder cannot be written.
        ConversionError: The graph cannot be converted.
    """
    from filelock import FileLock

    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(target.parent / f".{target.name}.lock"):
            if not (target / "conversion.json").exists():
                with onnx_copy(folder, name) as graph:
                    import_converter("pipeline").convert_to_folder(graph, target)
    except OSError as error:
        raise disk_error(error, target, OTHER_CACHE) or error from None
    return target
