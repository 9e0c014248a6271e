"""Convert an ONNX graph to the parameter tree: recognize the encoder, then verify the result."""

import dataclasses
from collections.abc import Mapping

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


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The parameters of an ONNX graph.

    Attributes:
        leaves: Float32 arrays by their path in the parameter tree.
        config: The sizes of the encoder; the pooling too if `pools`.
        layout: The position of every weight in the graph.
        verification: The comparison with the outputs of the graph.
        pools: Whether the graph itself pools the tokens to a sentence vector.
    """

    leaves: Mapping[str, NDArray[np.float32]]
    config: EncoderConfig
    layout: BertLayout
    verification: Verification
    pools: bool

    @property
    def params(self) -> EncoderParams:
        """The parameter tree, a nested dict of the leaves, with the config."""
        return EncoderParams(unflatten(self.leaves), self.config)


def convert(model: onnx.ModelProto, *, trusted: bool = False, pooling: str | None = None) -> Conversion:
    """Convert an ONNX model and verify the result against its graph.

    Args:
        model: A checked model, see `convert.reading.onnx_file`.
        trusted: Whether the model is known to be harmless, so that any runtime may run it.
        pooling: The pooling of the sentence vectors, if it is known.

    Returns:
        The parameters with the result of the verification.

    Raises:
        ConversionError: The model is not a BERT encoder, or its outputs differ from those of the converted encoder.
    """
    layout = recognize(plain_graph(model))
    leaves = to_leaves(layout)
    verification = verify(model, layout, unflatten(leaves), runtime=choose_runtime(trusted=trusted))
    _check_outputs(verification, pooling)
    config, pools = _with_pooling(layout.config, verification)
    return Conversion(leaves, config, layout, verification, pools)


def to_leaves(layout: BertLayout) -> dict[str, NDArray[np.float32]]:
    """Return the recognized weights by their path in the tree; raises ModelFileError if the tree is incomplete."""
    leaves = {path: constant.weight for path, constant in layout.weights.items()}
    check(unflatten(leaves), layout.config)
    return leaves


def _check_outputs(verification: Verification, pooling: str | None) -> None:
    meanings = [agreement.meaning for agreement in verification.outputs.values()]
    if pooling is None and meanings and all(meaning == "pooler_output" for meaning in meanings):
        raise ConversionError(
            "its only output is BERT's pooler, tanh(Dense(CLS)), so the graph does not tell how token vectors become a"
            " sentence vector; pass --pooling, or export a graph with last_hidden_state."
        )


def _with_pooling(config: EncoderConfig, verification: Verification) -> tuple[EncoderConfig, bool]:
    for agreement in verification.outputs.values():
        meaning = agreement.meaning
        if isinstance(meaning, Pooled):
            return dataclasses.replace(config, pooling=meaning.pooling, normalize=meaning.normalize), True
    return config, False
