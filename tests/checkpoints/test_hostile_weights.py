"""Untrusted weight files: any damaged content raises a `ModelFileError`, within small limits of time and memory."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import msgpack
import numpy as np
import pytest
from flax.serialization import msgpack_serialize
from hypothesis import given, settings, strategies as st

import minilm_jax as mj
from minilm_jax.nn.params import Params, flatten, unflatten
from tests.helpers.limits import bounded
from tests.helpers.tiny_model import TINY

KERNEL = "encoder.layer.0.output.dense.kernel"
MAX_MESSAGE = 10_000


def rejection(path: Path) -> str:
    """Check that loading a file raises a `ModelFileError`, and return its message."""
    with bounded(), pytest.raises(mj.ModelFileError) as caught:
        mj.load_params(path, TINY)
    message = str(caught.value)
    assert path.name in message
    assert "MemoryError" not in message
    assert len(message) < MAX_MESSAGE
    return message


def safetensors(header: object, data: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


@pytest.mark.parametrize("suffix", ["safetensors", "msgpack"])
def test_file_truncated_anywhere_is_rejected(tiny_params: Params, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"params.{suffix}"
    mj.save_params(tiny_params, path)
    whole = path.read_bytes()
    for kept in {0, 1, 7, 8, 9, len(whole) - 1, *range(0, len(whole), 1024)}:
        path.write_bytes(whole[:kept])
        rejection(path)


@pytest.mark.parametrize("suffix", ["safetensors", "msgpack"])
@given(st.binary(max_size=2_000))
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_file_of_random_bytes_is_rejected(tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes(data)
    rejection(path)


SAFETENSORS = {
    "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "header of 2^64-1 bytes": struct.pack("<Q", 2**64 - 1) + b"{}",
    "shape of 2^40": safetensors({"a": tensor(shape=[2**40])}),
    "shape beyond 2^64": safetensors({"a": tensor(shape=[2**32, 2**32, 4])}),
    "empty but huge": safetensors({"a": tensor(shape=[0, 2**62], data_offsets=[0, 0])}, b""),
    "negative size": safetensors({"a": tensor(shape=[-2])}),
    "dtype that does not match the data": safetensors({"a": tensor(dtype="F64")}),
    "unknown dtype": safetensors({"a": tensor(dtype="x" * 10**6)}),
    "overlapping": safetensors({"a": tensor(), "b": tensor(data_offsets=[4, 12])}, bytes(12)),
    "out of range": safetensors({"a": tensor(data_offsets=[100, 108])}),
    "backwards": safetensors({"a": tensor(data_offsets=[8, 0])}),
    "bytes that belong to no tensor": safetensors({"a": tensor()}, bytes(800)),
    "one name twice": safetensors(b'{"a":%s,"a":%s}' % ((json.dumps(tensor()).encode(),) * 2)),
    "name of a megabyte": safetensors({"a" * 10**6: tensor()}),
    "name of many parts": safetensors({"a." * 10**3 + "kernel": tensor()}),
    "leaf inside a leaf": safetensors({"a.kernel": tensor(), "a.kernel.b": tensor(data_offsets=[8, 16])}, bytes(16)),
    "two names for one leaf": safetensors({"bert.a": tensor(), "a": tensor(data_offsets=[8, 16])}, bytes(16)),
    "deep JSON": safetensors(b"[" * 10**6),
    "deep JSON in a tensor": safetensors(b'{"a":' * 10**5),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_malformed_safetensors_file_is_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / "params.safetensors").write_bytes(SAFETENSORS[name])
    rejection(tmp_path / "params.safetensors")


def array(shape: Any, dtype: Any, data: Any = bytes(8)) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, data)))


def chunked(shape: Any, chunks: Any) -> dict[str, Any]:
    return {"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks}


MSGPACK = {
    "array of 2^32": b"\xdd\xff\xff\xff\xff",
    "map of 2^32": b"\xdf\xff\xff\xff\xff",
    "bytes of 2^32": b"\x81\xa1a\xc6\xff\xff\xff\xff",
    "many arrays of 2,000": b"\xdd\x00\x00\x07\xd0" * 400,
    "deep maps": b"\x81\xa1a" * 10**5 + b"\x80",
    "deep arrays": b"\x81\xa1a" + b"\x91" * 10**3 + b"\xc0",
    **{f"maps {depth} deep": b"\x81\xa1a" * depth + b"\xc0" for depth in (450, 900, 950, 970, 980, 990, 1_000, 1_020)},
    "a list": msgpack.packb([1, 2]),
    "a list of pairs": msgpack.packb([["a", array([2], "f4")]]),
    "a string": msgpack.packb("ab"),
    "an empty map": msgpack.packb({}),
    "keys that are not strings": msgpack.packb({1: array([2], "f4"), None: 3, b"\xff": 4}),
    "name of a megabyte": msgpack.packb({"a" * 10**6: array([2], "f4")}),
    "leaf inside a leaf": msgpack.packb({"a": array([2], "f4"), "a.b": array([2], "f4")}),
}
LEAVES = {
    "string": "text",
    "long string": "x" * 10**6,
    "None": None,
    "number": 1.5,
    "large number": 2**63,
    "complex number": msgpack.ExtType(2, msgpack.packb((1.0, 2.0))),
    "list": [1.0, 2.0],
    "uneven list": [[1.0], [1.0, 2.0]],
    "list with a long string": ["x" * 10**5, *[""] * 10**5],
    "unknown extension": msgpack.ExtType(5, b"abc"),
    "time": msgpack.Timestamp(1, 2),
    "objects": array([1], "O"),
    "pickle": array([1], "O", b"cos\nsystem\n(S'false'\ntR."),
    "records": array([2], "f2,f2"),
    "void": array([2], "V4"),
    "void of width 0": array([2], "V0", b""),
    "bytes": array([2], "S4"),
    "invalid characters": array([2], "U1", b"\xff" * 8),
    "dates": array([1], "M8[s]"),
    "complex": array([1], "c8"),
    "float64": array([1], "f8"),
    "float8": array([8], "float8_e4m3fn"),
    "int4": array([8], "int4"),
    "array in a dtype": array([1], "(1000000000,)f4"),
    "long dtype": array([1], "f4," * 10**4),
    "dtype that is a list": array([1], [1, 2]),
    "shape of 2^40": array([2**40], "f4"),
    "negative size": array([-5], "f4"),
    "empty but huge": array([0, 2**62], "f4", b""),
    "100 axes": array([1] * 100, "f4", bytes(4)),
    "data that is a number": array([2], "f4", 3),
    "chunks of nothing": chunked({"0": 2**40}, {}),
    "chunks that are numbers": chunked(3, 4),
    "chunks without a shape": {"__msgpack_chunked_array__": True},
}


@pytest.mark.parametrize(
    "content", [*MSGPACK.values(), *(msgpack.packb({"a": leaf}) for leaf in LEAVES.values())], ids=[*MSGPACK, *LEAVES]
)
def test_malformed_msgpack_file_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.msgpack").write_bytes(content)
    rejection(tmp_path / "params.msgpack")


def changed(params: Params, change: Callable[[Any], Any]) -> Params:
    leaves = {name: np.asarray(leaf) for name, leaf in flatten(params).items()}
    return unflatten(leaves | {KERNEL: change(leaves[KERNEL])})


@pytest.mark.parametrize("suffix", ["safetensors", "msgpack", "orbax"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_rejected(
    tiny_params: Params, tmp_path: Path, suffix: str, number: float
) -> None:
    path = tmp_path / f"params.{suffix}"
    mj.save_params(changed(tiny_params, lambda leaf: np.where(np.arange(24) == 5, np.float32(number), leaf)), path)
    with pytest.raises(mj.ModelFileError, match=f"{path.name}: {KERNEL} has values that are not finite"):
        mj.load_params(path, TINY)


@pytest.mark.parametrize("dtype", ["int32", "int8", "bool", "complex64", "float64"])
def test_weights_of_another_dtype_are_rejected(tiny_params: Params, tmp_path: Path, dtype: str) -> None:
    mj.save_params(changed(tiny_params, lambda leaf: leaf.astype(dtype)), tmp_path / "params.msgpack")
    assert f"{KERNEL} is {dtype}" in rejection(tmp_path / "params.msgpack")


@pytest.mark.parametrize("suffix", ["safetensors", "msgpack", "orbax"])
def test_arrays_of_the_other_byte_order_are_saved_correctly(tiny_params: Params, tmp_path: Path, suffix: str) -> None:
    # flax writes such arrays incorrectly, without an error.
    path = tmp_path / f"params.{suffix}"
    mj.save_params(jax.tree.map(lambda leaf: np.asarray(leaf).astype(">f4"), tiny_params), path)
    assert jax.tree.all(jax.tree.map(np.array_equal, mj.load_params(path, TINY), tiny_params))


def test_string_in_place_of_a_leaf_is_rejected(tiny_params: Params, tmp_path: Path) -> None:
    path = tmp_path / "params.msgpack"
    path.write_bytes(msgpack_serialize(changed(tiny_params, lambda leaf: "text")))
    assert f"{KERNEL} is str" in rejection(path)
