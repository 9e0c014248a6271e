"""ONNX graph to the parameter tree: recognise, then prove."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx

from convert.bert_layout import BertLayout, recognise
from convert.graph import Constant, Graph
from convert.verify import check_differences, largest_differences
from minilm_jax.config import EncoderConfig
from minilm_jax.params import Params, check, unflatten


@dataclasses.dataclass(frozen=True)
class Conversion:
    """An ONNX graph become parameters.

    Attributes:
        params: Nested dict of float32 numpy arrays.
        config: The sizes, read off the graph.
        weights: Where in the graph every leaf came from.
        differences: The largest difference from the graph's own result, for each of its outputs.
    """

    params: Params
    config: EncoderConfig
    weights: Mapping[str, Constant]
    differences: Mapping[str, float]


def convert(model: onnx.ModelProto) -> Conversion:
    """Converts an ONNX model and proves the result against the model's own graph.

    Args:
        model: A checked model, see `convert.onnx_file`.

    Returns:
        The parameters with the evidence.

    Raises:
        ConversionError: The model is no BERT encoder, or computes something else than the result does.
    """
    layout = recognise(Graph(model))
    params = _to_params(layout)
    differences = largest_differences(model, layout, params)
    check_differences(differences)
    return Conversion(params, layout.config, layout.weights, differences)


def _to_params(layout: BertLayout) -> Params:
    params = unflatten({path: np.ascontiguousarray(w.value, np.float32) for path, w in layout.weights.items()})
    check(params, layout.config)
    return params
