"""Recognize the BERT structure in a graph: its weights, sizes, inputs and outputs."""

import dataclasses
from collections.abc import Mapping

from convert.graph.constant import Constant
from convert.graph.graph import Graph
from convert.recognition.heads import EncoderTensor, Head, find_head
from convert.recognition.masks import find_masks
from convert.recognition.other_models import named
from convert.recognition.walk import Walk
from minilm_jax.config import EncoderConfig
from minilm_jax.errors import ConversionError

__all__ = ["BertLayout", "EncoderTensor", "recognize"]


@dataclasses.dataclass(frozen=True)
class BertLayout:
    """The position of a BERT encoder in a graph.

    Attributes:
        weights: Every leaf of the parameter tree, by its path.
        config: The sizes of the encoder, and its head, whose labels have no names yet.
        inputs: "input_ids", "position_ids" or "token_type_ids" for each graph input that selects table rows.
        masks: Whether the graph adds an input to the attention scores as it is, for each input that masks attention.
        counts_padding: Whether the graph counts positions from the ids, as RoBERTa does.
        outputs: The tensor of the encoder that each graph output equals, or None if there is none.
        decoder: The kernel of a language model's logits [D, V], a copy of the word embeddings; or None.
    """

    weights: Mapping[str, Constant]
    config: EncoderConfig
    inputs: Mapping[str, str]
    masks: Mapping[str, bool]
    counts_padding: bool
    outputs: Mapping[str, EncoderTensor | None]
    decoder: Constant | None = None


def recognize(graph: Graph) -> BertLayout:
    """Recognize the BERT encoder in a graph.

    Args:
        graph: The graph, in plain operators.

    Returns:
        The weights by their path in the parameter tree, the config, the inputs and the outputs.

    Raises:
        ConversionError: The graph does not have the structure of BERT; the message names the first mismatch.
    """
    try:
        walk = Walk(graph)
        hidden, layers = walk.encoder()
        head = find_head(walk, hidden)
        _check_nothing_left(walk)
    except ConversionError as error:
        raise named(error, graph) from None
    positions, inputs = walk.tables.positions, walk.tables.inputs
    config = dataclasses.replace(_config(walk, layers), classifier=head.classifier, sparse_head=head.sparse_head)
    outputs, masks = _outputs(walk, hidden, head), find_masks(graph)
    return BertLayout(walk.weights, config, inputs, masks, positions.counted, outputs, head.decoder)


def _outputs(walk: Walk, hidden: str, head: Head) -> dict[str, EncoderTensor | None]:
    tensors: dict[str, EncoderTensor] = {hidden: "last_hidden_state", **head.tensors}

    def meaning(tensor: str) -> EncoderTensor | None:
        return next((found for name, found in tensors.items() if walk.same(tensor, name)), None)

    return {name: meaning(walk.graph.original(name)) for name in walk.graph.outputs}


def _config(walk: Walk, layers: int) -> EncoderConfig:
    for name, values in walk.seen.items():
        if len(values) > 1:
            raise ConversionError(f"the layers differ in {name}: {', '.join(map(str, sorted(values, key=str)))}.")
    rows, width = {}, 0
    for name in ("word", "position", "token_type"):
        rows[name], width = walk.weights[f"embeddings.{name}_embeddings.embedding"].value.shape
    (size,) = walk.seen["head size"]
    return EncoderConfig.from_dict(
        {
            "vocab_size": rows["word"],
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // int(size),
            "intermediate_size": walk.weights["encoder.layer.0.intermediate.dense.kernel"].value.shape[1],
            "max_position_embeddings": rows["position"],
            "type_vocab_size": rows["token_type"],
            "padding_idx": walk.tables.positions.padding_idx,
            "layer_norm_eps": walk.seen["layer_norm_eps"].pop(),
            "hidden_act": walk.seen["hidden_act"].pop(),
        }
    )


def _check_nothing_left(walk: Walk) -> None:
    needed = walk.graph.needed()
    unused = needed - walk.used
    for linear in (one for one in walk.linears if one.output in unused):
        shape = list(linear.kernel.value.shape)
        raise ConversionError(
            f"the dense layer {linear.kernel.source!r} {shape} is not part of BERT; is it a task head? Classifiers over"
            " the first token and masked language models are converted if the graph returns their logits."
        )
    for lookup in walk.tables.unused(needed):
        shape = list(lookup.table.value.shape)
        raise ConversionError(
            f"the table {lookup.table.source!r} {shape} is not part of BERT; does the model use relative positions?"
        )
