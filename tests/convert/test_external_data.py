"""External data of an ONNX file is read from its own folder only; any other location is rejected."""

import os
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import onnx
import pytest

import minilm_jax as mj
from convert.flax_to_onnx import to_onnx
from convert.onnx_to_flax import convert
from convert.reading.onnx_file import read_onnx
from minilm_jax.nn.params import Params
from tests.helpers.tiny_model import TINY


@pytest.fixture
def external(tiny_params: Params, tmp_path: Path) -> Path:
    """A model folder with the weights in `weights.bin`, and a secret file outside the folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(2**20))
    onnx.save_model(
        to_onnx(tiny_params, TINY),
        folder / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return folder / "model.onnx"


def point_at(path: Path, **entries: str) -> None:
    model = onnx.load(path, load_external_data=False)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("word_embeddings.embedding"))
    kept = {entry.key: entry.value for entry in tensor.external_data}
    del tensor.external_data[:]
    for key, value in {**kept, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def test_data_in_the_folder_of_the_model_is_read(external: Path, tiny_params: Params) -> None:
    conversion = convert(read_onnx(external).model)
    assert jax.tree.all(jax.tree.map(np.array_equal, conversion.params, tiny_params))


def test_data_in_a_subfolder_is_read(external: Path, tiny_params: Params) -> None:
    (external.parent / "data").mkdir()
    (external.parent / "weights.bin").rename(external.parent / "data" / "weights.bin")
    model = onnx.load(external, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "data/weights.bin"
    external.write_bytes(model.SerializeToString())
    assert read_onnx(external).model.graph.initializer[0].raw_data


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("/etc/passwd", "the path is outside the folder"),
        ("../secret", "the path is outside the folder"),
        ("data/../../secret", "the path is outside the folder"),
        ("..\\secret", "the path is outside the folder"),
        ("", "the path is outside the folder"),
        (".", "the path is outside the folder"),
        ("weights.bin\0.png", "the path is outside the folder"),
        ("missing.bin", "No such file"),
        ("x" * 5_000, "File name too long"),
    ],
)
def test_location_outside_the_folder_is_rejected(external: Path, location: str, reason: str) -> None:
    point_at(external, location=location)
    with pytest.raises(mj.ConversionError, match=rf"model\.onnx: .*word_embeddings.*{reason}"):
        read_onnx(external)


def symlink(weights: Path) -> None:
    weights.unlink()
    weights.symlink_to("../secret")


def symlink_to_nothing(weights: Path) -> None:
    weights.unlink()
    weights.symlink_to("../nothing")


def hard_link(weights: Path) -> None:
    weights.unlink()
    os.link(weights.parent.parent / "secret", weights)


def pipe(weights: Path) -> None:
    weights.unlink()
    os.mkfifo(weights)


def folder(weights: Path) -> None:
    weights.unlink()
    weights.mkdir()


def truncated(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (symlink, "symbolic link"),
        (symlink_to_nothing, "symbolic link"),
        (hard_link, "hard link"),
        (pipe, "not a regular file"),
        (folder, "not a regular file"),
        (truncated, "the file has 100 bytes, and the tensor would end at"),
    ],
)
def test_location_that_is_not_a_complete_regular_file_is_rejected(
    external: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(external.parent / "weights.bin")
    with pytest.raises(mj.ConversionError, match=reason):
        read_onnx(external)


def test_symbolic_link_in_the_middle_of_the_path_is_rejected(external: Path) -> None:
    (external.parent / "data").symlink_to("..")
    point_at(external, location="data/secret")
    with pytest.raises(mj.ConversionError, match="symbolic link"):
        read_onnx(external)


def test_external_bytes_shared_by_too_many_tensors_are_rejected(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.graph.node.add(op_type="Identity", input=["0"], output=["y"])
    for index in range(10):
        tensor = model.graph.initializer.add(name=str(index), data_type=onnx.TensorProto.FLOAT, dims=[2**20])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        # If a tensor has two locations, the last one is used and counted.
        tensor.external_data.add(key="location", value="missing.bin")
        tensor.external_data.add(key="location", value="shared.bin")
    (tmp_path / "shared.bin").write_bytes(bytes(2**22))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(mj.ConversionError, match=r"use more than 2 times the bytes in 'shared\.bin'"):
        read_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("entry", "value", "reason"),
    [
        ("offset", "-1", "'-1' is not a number of bytes"),
        ("offset", "1_0", "'1_0' is not a number of bytes"),
        ("offset", "9" * 15, "the tensor would end at"),
        ("offset", "9" * 10_000, "is not a number of bytes"),
        ("length", "8", "its length must be .* bytes, not 8"),
        ("length", str(2**40), "its length must be .* bytes, not"),
    ],
)
def test_offset_or_length_that_does_not_match_is_rejected(external: Path, entry: str, value: str, reason: str) -> None:
    point_at(external, **{entry: value})
    with pytest.raises(mj.ConversionError, match=reason):
        read_onnx(external)
