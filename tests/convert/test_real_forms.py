"""The most common forms of the real model, written by the real tools: each converts to the weights it stores."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

import minilm_jax as mj
from convert.onnx_to_flax import convert
from convert.reading.onnx_file import read_onnx
from minilm_jax.checkpoints.hub_names import from_hub
from minilm_jax.nn.params import flatten
from tests.exports.hydrate import hydrate
from tests.helpers import conversion_table
from tests.helpers.dequantized import QuantizedFile
from tests.helpers.paths import EXPORTS
from tests.helpers.tolerances import FLOAT16_CONVERTER

pytestmark = pytest.mark.usefixtures("graphs_run_here")

Weights = dict[str, NDArray[np.float32]]


def exported(weights: Weights, folder: Path, name: str = "hub") -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(hydrate(EXPORTS / f"{name}.onnx.gz", weights), path)
    return path


def optimized_by_a_session(path: Path) -> Path:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path.with_name("optimized.onnx"))
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return path.with_name("optimized.onnx")


def fused(path: Path, *, gelu_approximation: bool = False, half: bool = False) -> Path:
    options = FusionOptions("bert")
    options.enable_gelu_approximation = gelu_approximation
    model = optimize_model(str(path), "bert", 12, 384, optimization_options=options, opt_level=0)
    if half:
        model.convert_float_to_float16(keep_io_types=True)
    model.save_model_to_file(str(path))
    return path


def dynamic(path: Path, weight_type: QuantType, *, per_channel: bool) -> Path:
    quantize_dynamic(path, path.with_name("quantized.onnx"), weight_type=weight_type, per_channel=per_channel)
    return path.with_name("quantized.onnx")


def four_bits(path: Path) -> Path:
    quantizer = MatMulNBitsQuantizer(onnx.load(path), bits=4, block_size=32, is_symmetric=True)
    quantizer.process()
    quantized: Any = quantizer.model
    quantized.save_model_to_file(str(path), use_external_data_format=False)
    return path


def halved(path: Path) -> Path:
    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
    return path


def with_external_data(path: Path) -> Path:
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location="model.onnx_data")
    return path


FORMS: dict[str, Callable[[Path], Path]] = {
    "O1": optimized_by_a_session,
    "O2": fused,
    "O3": lambda path: fused(path, gelu_approximation=True),
    "O4": lambda path: fused(path, gelu_approximation=True, half=True),
    "fp16": halved,
    "int8": lambda path: dynamic(path, QuantType.QInt8, per_channel=True),
    "uint8": lambda path: dynamic(path, QuantType.QUInt8, per_channel=False),
    "q4": four_bits,
    "external data": with_external_data,
}


@pytest.fixture(autouse=True)
def _quiet_tools(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)


@pytest.mark.parametrize("name", FORMS)
def test_form_of_the_real_model_converts_to_its_weights(
    name: str, weights: Weights, tmp_path: Path, table: list[tuple[str, ...]]
) -> None:
    path = FORMS[name](exported(weights, tmp_path))
    file = read_onnx(path)
    conversion = convert(file.model)
    approximate = "gelu_new" if name in ("O3", "O4") else "gelu"
    assert conversion.config == dataclasses.replace(mj.ALL_MINILM_L6_V2, hidden_act=approximate)
    assert conversion.verification.outputs.keys() == {"last_hidden_state"}
    wanted, found, quantized = from_hub(weights), flatten(conversion.params), QuantizedFile(path)
    for leaf, weight in conversion.layout.weights.items():
        if weight.stored == "float32":
            np.testing.assert_array_equal(found[leaf], wanted[leaf])
        elif weight.stored == "float16":
            half = wanted[leaf].astype(np.float16).astype(np.float32)
            np.testing.assert_allclose(found[leaf], half, rtol=0, atol=FLOAT16_CONVERTER)
        else:
            np.testing.assert_array_equal(found[leaf], quantized.weight(weight))
    if name in ("int8", "uint8"):
        cost = conversion.verification.as_stored["last_hidden_state"]
        # Token vectors of random ids are harder to quantize than those of text; 0.9899 and 0.978 were measured.
        assert 0.97 < cost.cosine < 0.999
        assert 0.95 < cost.smallest_cosine < cost.cosine
    made_by = f"onnxruntime {onnxruntime.__version__}, from the published file"
    table.append(conversion_table.converted(f"real weights, {name}", made_by, file.opset, conversion))
