"""ONNX to Flax: the graphs of all exporters give exactly the weights of the real model."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import version_converter

import minilm_jax as mj
from convert.flax_to_onnx import to_onnx
from convert.onnx_to_flax import Conversion, convert
from convert.reading.onnx_file import check_model, read_onnx
from convert.verification import outputs
from minilm_jax.nn.params import Params
from tests.exports.hydrate import hydrate
from tests.forms.rewrites import anonymous
from tests.helpers.onnx_exports import HUB, same_bits
from tests.helpers.paths import EXPORTS
from tests.helpers.tiny_model import TINY
from tests.helpers.tolerances import RUNTIMES_AGREE

pytestmark = pytest.mark.usefixtures("graphs_run_here")

EXPORTED = sorted(EXPORTS.glob("*.onnx.gz"))

Weights = Mapping[str, NDArray[np.float32]]


def largest_difference(conversion: Conversion) -> float:
    return max(output.largest_difference for output in conversion.verification.outputs.values())


@pytest.mark.parametrize("path", EXPORTED, ids=lambda path: path.name.removesuffix(".onnx.gz"))
def test_graph_of_every_exporter_gives_bit_identical_weights(path: Path, weights: Weights) -> None:
    model = hydrate(path, weights)
    check_model(model)
    conversion = convert(model)
    assert same_bits(conversion.params, weights)
    assert conversion.config == mj.ALL_MINILM_L6_V2
    assert ("pooler" in conversion.params) == any(output.name == "pooler_output" for output in model.graph.output)
    assert largest_difference(conversion) < RUNTIMES_AGREE


def test_published_file_gives_bit_identical_weights(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(hydrate(HUB, weights).SerializeToString())
    source = read_onnx(path)
    assert source.sha256 == "6fd5d72fe4589f189f8ebc006442dbb529bb7ce38f8082112682524616046452"
    assert same_bits(convert(source.model).params, weights)


@pytest.mark.parametrize("name", ["ts11-eager", "ts11-eager-pooler"])
def test_graph_upgraded_to_opset_16_gives_bit_identical_weights(name: str, weights: Weights) -> None:
    upgraded = version_converter.convert_version(hydrate(HUB.with_name(f"{name}.onnx.gz"), weights), 16)
    conversion = convert(upgraded)
    assert upgraded.opset_import[0].version == 16
    assert same_bits(conversion.params, weights)


@pytest.mark.parametrize("name", ["hub", "ts14-eager-pooler-unfolded", "dynamo23-sdpa"])
def test_names_in_the_graph_do_not_change_the_weights(name: str, weights: Weights) -> None:
    assert same_bits(convert(anonymous(hydrate(HUB.with_name(f"{name}.onnx.gz"), weights))).params, weights)


def test_swapped_weights_fail_the_verification(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hydrate(HUB, weights)
    honest = outputs.encode

    def swapped(params: Params, *rest: Any, **options: Any) -> Any:
        own = params["encoder"]["layer"]["3"]["attention"]["self"]
        own["query"], own["key"] = own["key"], own["query"]
        return honest(params, *rest, **options)

    monkeypatch.setattr(outputs, "encode", swapped)
    with pytest.raises(mj.ConversionError, match="differs from the graph's by"):
        convert(model)


def test_trusted_graph_is_verified_by_onnx_reference_without_onnxruntime(
    tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    conversion = convert(to_onnx(tiny_params, TINY), trusted=True)
    assert conversion.verification.runtime == "onnx.reference"
    assert largest_difference(conversion) < RUNTIMES_AGREE
    with pytest.raises(mj.ConversionError, match=r"minilm-jax\[verify\]"):
        convert(to_onnx(tiny_params, TINY))
