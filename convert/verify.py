"""Proof of a conversion: the ONNX graph and the converted encoder on the same inputs."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from numpy.typing import NDArray

from convert.bert_layout import BertLayout
from minilm_jax.batching import Batch
from minilm_jax.encoder import encode
from minilm_jax.errors import ConversionError
from minilm_jax.params import Params

# Two float32 runtimes differ by 2e-6 on this model, wrong weights by 1e-1 and more.
TOLERANCE = 1e-4

Run = Callable[[Mapping[str, NDArray[Any]]], Sequence[Any]]


def largest_differences(model: onnx.ModelProto, layout: BertLayout, params: Params) -> dict[str, float]:
    """Compares the graph's outputs with the encoder's on a batch of random ids of several lengths.

    Args:
        model: The ONNX model.
        layout: What was recognised in it.
        params: The converted parameters.

    Returns:
        The largest absolute difference of each output that is understood.

    Raises:
        ConversionError: The graph does not run.
    """
    batch = _batch(layout, has_token_types=any("type" in name for name in _input_names(model)))
    try:
        outputs = _runtime(model)(_feeds(model, batch))
    except Exception as error:
        raise ConversionError(
            f"the graph does not run, so nothing can be proved ({str(error).splitlines()[0]})."
        ) from error
    encoded = jax.jit(encode)(params, batch, layout.config)
    names = [value.name for value in model.graph.output]

    def difference(name: str, meaning: str) -> float:
        gap = np.abs(outputs[names.index(name)] - np.asarray(getattr(encoded, meaning)))
        # What stands at padding means nothing, and need not agree.
        return float(np.max(gap[batch.attention_mask != 0] if meaning == "last_hidden_state" else gap))

    return {name: difference(name, meaning) for name, meaning in layout.outputs.items()}


def check_differences(differences: Mapping[str, float]) -> None:
    """Raises ConversionError if an output differs by more than the tolerance, or is not a number."""
    for name, difference in differences.items():
        if not difference <= TOLERANCE:
            raise ConversionError(
                f"output {name!r} of the converted encoder differs from the graph's by {difference:.1e} (allowed:"
                f" {TOLERANCE:.0e}); nothing was written. The file computes something that BERT does not."
            )


def runtime_name() -> str:
    """Returns what runs the graph: onnxruntime where installed, else onnx's reference evaluator."""
    return "onnxruntime" if importlib.util.find_spec("onnxruntime") else "onnx.reference"


def _batch(layout: BertLayout, *, has_token_types: bool) -> Batch:
    config = layout.config
    lengths = np.minimum([1, 3, 8, 24], config.max_position_embeddings)
    shape = (len(lengths), int(lengths.max()))
    random = np.random.default_rng(0)
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
    input_ids = random.integers(config.vocab_size, size=shape) * mask
    # A graph without that input computes token type 0.
    token_type_ids = random.integers(config.type_vocab_size, size=shape) * has_token_types
    return Batch(input_ids, mask, token_type_ids)


def _input_names(model: onnx.ModelProto) -> list[str]:
    initializers = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in initializers]


def _feeds(model: onnx.ModelProto, batch: Batch) -> dict[str, NDArray[Any]]:
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    return {
        name: _meaning(name, batch).astype(onnx.helper.tensor_dtype_to_np_dtype(types[name]))
        for name in _input_names(model)
    }


def _meaning(name: str, batch: Batch) -> NDArray[np.int64]:
    if "mask" in name:
        return batch.attention_mask
    if "type" in name:
        return batch.token_type_ids
    if "ids" in name or name == "input":
        return batch.input_ids
    raise ConversionError(
        f"the graph has an input {name!r}, which is none of input_ids, attention_mask, token_type_ids."
    )


def _runtime(model: onnx.ModelProto) -> Run:
    if runtime_name() == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return lambda feeds: session.run(None, dict(feeds))
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model)
    return lambda feeds: list(evaluator.run(None, dict(feeds)))
