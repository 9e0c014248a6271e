"""Operations on constants are computed, within limits on memory and work."""

import contextlib
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import minilm_jax as mj
from convert.graph.constant import Constant
from convert.graph.evaluation import FAST, SLOW
from convert.graph.lowering import plain_graph
from convert.graph.rearranging import REARRANGE
from tests.helpers.limits import bounded

Array = NDArray[Any]
MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)


def folded(
    op: str, inputs: Mapping[str, Array | None], *, opset: int = 17, outputs: int = 1, **attributes: Any
) -> list[Constant | None]:
    """Return the outputs of one node on constants, None for one that is not folded."""
    names = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(op, [name if value is not None else "" for name, value in inputs.items()], names)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    tensors = [numpy_helper.from_array(value, name) for name, value in inputs.items() if value is not None]
    values = [onnx.ValueInfoProto(name=name) for name in names]
    graph = helper.make_graph([node], "one", [], values, tensors)
    plain = plain_graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]))
    return [plain.constant(name) for name in names]


def value(op: str, *inputs: Array | None, **options: Any) -> Array:
    (constant,) = folded(op, {f"x{index}": array for index, array in enumerate(inputs)}, **options)
    assert constant is not None
    return constant.value


def floats(*values: float | list[float]) -> Array:
    return np.array(values, np.float32)


def integers(*values: int) -> Array:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("op", "inputs", "options", "expected"),
    [
        ("Mul", [MATRIX, np.float32(2)], {}, MATRIX * 2),
        ("Sqrt", [MATRIX], {}, np.sqrt(MATRIX)),
        ("Pow", [MATRIX, np.float32(3)], {}, MATRIX**3),
        ("Where", [MATRIX > 5, MATRIX, np.float32(0)], {}, np.where(MATRIX > 5, MATRIX, 0)),
        ("Equal", [MATRIX, np.float32(3)], {}, MATRIX == 3),
        ("Range", [np.int64(2), np.int64(9), np.int64(3)], {}, integers(2, 5, 8)),
        ("Expand", [floats([1], [2]), integers(2, 3)], {}, floats([1, 1, 1], [2, 2, 2])),
        ("Tile", [integers(1, 2), integers(2)], {}, integers(1, 2, 1, 2)),
        ("CumSum", [integers(1, 1, 1), np.int64(0)], {}, integers(1, 2, 3)),
        ("Shape", [MATRIX], {}, integers(3, 4)),
        ("ConstantOfShape", [integers(2, 2)], {}, np.zeros((2, 2), np.float32)),
        ("Slice", [MATRIX, integers(1), integers(3), integers(1)], {}, MATRIX[:, 1:3]),
        ("Slice", [MATRIX, integers(-1), integers(-(2**62)), integers(0), integers(-1)], {}, MATRIX[::-1]),
        ("Slice", [MATRIX], {"opset": 9, "starts": [0], "ends": [2], "axes": [0]}, MATRIX[:2]),
        ("Gather", [MATRIX, np.int64(1)], {"axis": 1}, MATRIX[:, 1]),
        ("MatMul", [MATRIX, MATRIX.T.copy()], {}, MATRIX @ MATRIX.T),
        ("Clip", [MATRIX, None, np.float32(5)], {}, np.minimum(MATRIX, 5)),
        ("ReduceMean", [MATRIX], {"axes": [1]}, MATRIX.mean(axis=1, keepdims=True)),
        ("Unsqueeze", [MATRIX], {"opset": 11, "axes": [0]}, MATRIX[None]),
        ("Erf", [floats(0)], {}, floats(0)),
        ("OneHot", [integers(1), np.int64(2), floats(0, 1)], {}, floats([0, 1])),
    ],
)
def test_operator_on_constants_is_folded(
    op: str, inputs: list[Array | None], options: dict[str, Any], expected: Array
) -> None:
    result = value(op, *(None if one is None else np.asarray(one) for one in inputs), **options)
    np.testing.assert_array_equal(result, expected)


def test_parts_of_a_weight_are_views() -> None:
    parts = folded("Split", {"x": MATRIX}, outputs=2, axis=1, num_outputs=2)
    assert [str(part.undone[0]) for part in parts if part is not None] == ["columns 0:2", "columns 2:4"]
    assert all(part is not None and part.source == "x" and part.value.base is not None for part in parts)


def test_scaled_integers_are_recorded_as_dequantized() -> None:
    (weight,) = folded("Mul", {"scale": np.ones((1, 4), np.float32), "w": MATRIX})
    assert weight is not None
    assert (weight.source, weight.undone) == ("w", ("Mul",))
    nodes = [
        helper.make_node("Cast", ["w"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["scale", "f"], ["y"]),
    ]
    tensors = {"w": MATRIX.astype(np.int8), "scale": floats([0.5])}
    values = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "two", [], [onnx.ValueInfoProto(name="y")], values)
    constant = plain_graph(helper.make_model(graph)).constant("y")
    assert constant is not None
    assert (constant.source, constant.stored, constant.undone) == ("w", "int8", ("Cast", "dequantized"))
    np.testing.assert_array_equal(constant.value, MATRIX / 2)


def test_half_precision_is_widened_before_it_is_computed_with() -> None:
    halves = floats(60000).astype(np.float16)
    np.testing.assert_array_equal(value("Add", halves, halves), floats(120000))


HUGE = integers(2**20, 2**20)


@pytest.mark.parametrize(
    ("op", "inputs", "options"),
    [
        ("Expand", [np.zeros((1, 1), np.float32), HUGE], {}),
        ("Tile", [MATRIX, HUGE], {}),
        ("ConstantOfShape", [HUGE], {}),
        ("Range", [np.int64(0), np.int64(2**40), np.int64(1)], {}),
        ("Range", [np.float32(0), np.float32(1), np.float32(1e-30)], {}),
        ("Pad", [MATRIX, integers(0, 0, 2**30, 2**30)], {}),
        ("Gather", [np.zeros((1, 2**15), np.float32), np.zeros(2**15, np.int64)], {}),
        ("MatMul", [np.zeros((2**15, 1), np.float32), np.zeros((1, 2**15), np.float32)], {}),
        ("Add", [np.zeros((2**15, 1), np.float32), np.zeros((1, 2**15), np.float32)], {}),
    ],
)
def test_constant_that_would_be_huge_is_rejected(op: str, inputs: list[Array], options: dict[str, Any]) -> None:
    value("Add", MATRIX, MATRIX)  # Loads the operators, which needs memory once.
    with bounded(), pytest.raises(mj.ConversionError, match="the constants need more than"):
        value(op, *(np.asarray(array) for array in inputs), **options)


def test_work_on_constants_is_limited() -> None:
    nodes = [helper.make_node("ReduceSum", ["x"], [f"y{index}"], keepdims=0) for index in range(5_000)]
    tensor = numpy_helper.from_array(np.zeros(2**18, np.float32), "x")
    graph = helper.make_graph(nodes, "many", [], [onnx.ValueInfoProto(name="y0")], [tensor])
    with bounded(), pytest.raises(mj.ConversionError, match="folding the constants takes too long"):
        plain_graph(helper.make_model(graph))


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli", "Resize", "Loop"])
def test_random_operators_and_others_are_not_folded(op: str) -> None:
    assert folded(op, {"x": MATRIX}) == [None]


def test_attribute_named_domain_does_not_choose_another_operator() -> None:
    assert folded("Sqrt", {"x": MATRIX}, domain="ai.onnx.ml") == [None]


def random_operand(random: np.random.Generator) -> Array:
    shape = tuple(int(size) for size in random.choice([0, 1, 2, 3, 40], size=random.integers(5)))
    extremes = np.array([-(2**62), -(2**31), -1, 0, 1, 2, 3, 2**20, 2**31, 2**62])
    dtype = random.choice(np.array([np.int64, np.int32, np.float32, np.bool_, np.uint8, np.float16]))
    with np.errstate(all="ignore"):
        return random.choice(extremes, size=shape).astype(dtype)


def random_attributes(random: np.random.Generator) -> dict[str, Any]:
    numbers = [-(2**40), -7, -1, 0, 1, 2, 2**40]
    names = [
        "axis",
        "axes",
        "keepdims",
        "to",
        "perm",
        "pads",
        "transA",
        "alpha",
        "equation",
        "batch_dims",
        "mode",
        "num",
    ]
    kinds = [1.5, b"reflect", [0, 1], [2**40], [-1], *numbers]
    return {str(name): kinds[random.integers(len(kinds))] for name in random.choice(names, size=random.integers(3))}


@pytest.mark.parametrize("op", [*FAST, *SLOW, *REARRANGE])
def test_operator_on_random_constants_ends_in_a_value_or_one_error(op: str) -> None:
    value("Add", MATRIX, MATRIX)
    random = np.random.default_rng(zlib.crc32(op.encode()))
    for _ in range(60):
        inputs = {f"x{index}": random_operand(random) for index in range(random.integers(1, 5))}
        opset = int(random.choice([0, 1, 9, 11, 13, 17, 18, 21, 999]))
        with bounded(), warnings.catch_warnings(), contextlib.suppress(mj.ConversionError):
            warnings.simplefilter("error")
            folded(op, dict(inputs), opset=opset, outputs=int(random.integers(1, 4)), **random_attributes(random))
