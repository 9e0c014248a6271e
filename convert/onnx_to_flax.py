"""ONNX bytes to the parameter tree: recognise, then prove."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convert.bert_layout import BertLayout, recognise
from convert.graph import Constant, Graph
from convert.onnx_file import OnnxFile, read_onnx
from convert.verify import check_differences, largest_differences
from minilm_jax.config import EncoderConfig
from minilm_jax.errors import ConversionError
from minilm_jax.params import Params, check, unflatten


@dataclasses.dataclass(frozen=True)
class Conversion:
    """An ONNX file become parameters.

    Attributes:
        source: The file.
        params: Nested dict of float32 numpy arrays.
        config: The sizes, read off the graph.
        weights: Where in the graph every leaf came from.
        differences: The largest difference from the graph's own result, for each of its outputs.
    """

    source: OnnxFile
    params: Params
    config: EncoderConfig
    weights: Mapping[str, Constant]
    differences: Mapping[str, float]


def convert_file(path: str | Path) -> Conversion:
    """Converts an ONNX file and proves the result against the file's own graph.

    Args:
        path: The ONNX file.

    Returns:
        The parameters with the evidence.

    Raises:
        ConversionError: The file cannot be read, is no BERT encoder, or computes something else than the result does.
    """
    source = read_onnx(path)
    try:
        layout = recognise(Graph(source.model))
        params = to_params(layout)
        differences = largest_differences(source.model, layout, params)
        check_differences(differences)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from error.__cause__
    return Conversion(source, params, layout.config, layout.weights, differences)


def to_params(layout: BertLayout) -> Params:
    """Returns the recognised weights as the parameter tree of float32 numpy arrays."""
    leaves = {path: np.ascontiguousarray(w.value, np.float32) for path, w in layout.weights.items()}
    params = unflatten(leaves)
    check(params, layout.config)
    return params
