"""Convert an ONNX graph to the parameter tree: recognize the encoder, then verify the result."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.graph.lowering import plain_graph
from convert.recognition.bert_layout import BertLayout, recognize
from convert.verification.graph_process import choose_runtime
from convert.verification.verify import Pooled, Verification, verify
from minilm_jax.config import EncoderConfig
from minilm_jax.errors import ConversionError
from minilm_jax.nn.encoder_params import EncoderParams
from minilm_jax.nn.params import check, unflatten

PoolingSource = Literal["graph", "argument"]


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The parameters of an ONNX graph.

    Attributes:
        leaves: Float32 arrays by their path in the parameter tree.
        config: The sizes of the encoder, its head, and its pooling if `pooling_from` is not None. The labels of a
            classifier have no names yet.
        layout: The position of every weight in the graph.
        verification: The comparison with the outputs of the graph.
        pooling_from: What states the pooling: the graph, which computes a sentence vector, the caller, or nothing.
    """

    leaves: Mapping[str, NDArray[np.float32]]
    config: EncoderConfig
    layout: BertLayout
    verification: Verification
    pooling_from: PoolingSource | None = None

    @property
    def params(self) -> EncoderParams:
        """The parameter tree, which carries the config."""
        return EncoderParams(unflatten(self.leaves), self.config)

    @property
    def pools(self) -> bool:
        """Whether the graph states the pooling and the normalization."""
        return self.pooling_from == "graph"

    @property
    def not_converted(self) -> list[str]:
        """One sentence for each output of the graph that the params do not compute."""
        found = {f"{name!r} {other.shape}": other.meaning for name, other in self.verification.others.items()}
        for name, agreement in self.verification.outputs.items():
            if isinstance(agreement.meaning, Pooled) and agreement.meaning != self._pooled:
                found[repr(name)] = f"it is {agreement.meaning}, but the config has {self._pooled}"
        return [f"output {name} is not converted: {meaning}." for name, meaning in found.items()]

    @property
    def _pooled(self) -> Pooled:
        return Pooled(self.config.pooling, self.config.normalize)


def convert(
    model: onnx.ModelProto, *, trusted: bool = False, pooling: str | None = None, layout: BertLayout | None = None
) -> Conversion:
    """Convert an ONNX model and verify the result against its graph.

    Args:
        model: A checked model, see `convert.reading.onnx_file`.
        trusted: Whether the model is known to be harmless, so that any runtime may run it.
        pooling: The pooling of the config, see `EncoderConfig`; default: that of the graph, if it pools.
        layout: The result of `recognize` for the model, if it is known.

    Returns:
        The parameters with the result of the verification.

    Raises:
        ConversionError: The model is not a BERT encoder, its outputs differ from those of the converted encoder, or its
            only output is BERT's pooler_output and no pooling is given.
        ModelFileError: `pooling` is not one that is implemented.
    """
    layout = layout or recognize(plain_graph(model))
    leaves = to_leaves(layout)
    verification = verify(model, layout, unflatten(leaves), runtime=choose_runtime(trusted=trusted))
    config, pooling_from = _with_pooling(layout.config, verification, pooling)
    return Conversion(leaves, config, layout, verification, pooling_from)


def to_leaves(layout: BertLayout) -> dict[str, NDArray[np.float32]]:
    """Return the recognized weights by their path in the tree; raises ModelFileError if the tree is incomplete."""
    leaves = {path: constant.weight for path, constant in layout.weights.items()}
    check(unflatten(leaves), layout.config)
    return leaves


def _with_pooling(
    config: EncoderConfig, verification: Verification, pooling: str | None
) -> tuple[EncoderConfig, PoolingSource | None]:
    meanings = [agreement.meaning for agreement in verification.outputs.values()]
    pooled = next((meaning for meaning in meanings if isinstance(meaning, Pooled)), None)
    if pooling is not None:
        normalize = config.normalize if pooled is None else pooled.normalize
        return dataclasses.replace(config, pooling=pooling, normalize=normalize), "argument"
    if pooled is not None:
        return dataclasses.replace(config, pooling=pooled.pooling, normalize=pooled.normalize), "graph"
    if "last_hidden_state" not in meanings and "logits" not in meanings:
        raise ConversionError(
            "its only output is BERT's pooler_output, tanh of a dense layer over the first token, which is not a"
            " sentence vector. If you know the pooling with which the model was trained, pass it with --pooling."
        )
    return config, None
