"""ONNX graph to the parameter tree: recognise, then prove."""

import dataclasses

import onnx

from convert.graph.lowering import plain_graph
from convert.recognition.bert_layout import BertLayout, recognise
from convert.verification.graph_process import choose_runtime
from convert.verification.verify import UNIT_LENGTH, Proof, prove
from minilm_jax.config import EncoderConfig
from minilm_jax.nn.params import Params, check, unflatten


@dataclasses.dataclass(frozen=True)
class Conversion:
    """An ONNX graph become parameters.

    Attributes:
        params: Nested dict of float32 numpy arrays.
        config: The sizes, read off the graph, and the pooling where `pools`.
        layout: Where in the graph every leaf came from.
        proof: The comparison with the graph's own results.
        pools: Whether the graph itself pools the tokens to a sentence vector.
    """

    params: Params
    config: EncoderConfig
    layout: BertLayout
    proof: Proof
    pools: bool


def convert(model: onnx.ModelProto, *, vouched: bool = False) -> Conversion:
    """Converts an ONNX model and proves the result against the model's own graph.

    Args:
        model: A checked model, see `convert.reading.onnx_file`.
        vouched: Whether the model is known to be harmless, so that any runtime may run it.

    Returns:
        The parameters with the evidence.

    Raises:
        ConversionError: The model is no BERT encoder, or computes something else than the result does.
    """
    layout = recognise(plain_graph(model))
    params = to_params(layout)
    proof = prove(model, layout, params, runtime=choose_runtime(vouched=vouched))
    config, pools = _with_pooling(layout.config, proof)
    return Conversion(params, config, layout, proof, pools)


def _with_pooling(config: EncoderConfig, proof: Proof) -> tuple[EncoderConfig, bool]:
    for agreement in proof.outputs.values():
        pooling, pools, rest = agreement.meaning.partition(" pooling")
        if pools:
            return dataclasses.replace(config, pooling=pooling, normalize=rest == UNIT_LENGTH), True
    return config, False


def to_params(layout: BertLayout) -> Params:
    """Returns the tree of what was recognised, of float32 numpy arrays; raises ModelFileError if it is incomplete."""
    params = unflatten({path: weight.numbers for path, weight in layout.weights.items()})
    check(params, layout.config)
    return params
