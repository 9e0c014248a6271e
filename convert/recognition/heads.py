"""Find what follows the last hidden state: BERT's pooler, a classifier, or the head of a masked language model."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Literal

from convert.graph.constant import Constant
from convert.recognition.blocks import REARRANGING, Linear
from convert.recognition.logits_table import check_same_table
from convert.recognition.other_heads import CLASSIFIER_ACTIVATIONS, unsupported_head
from convert.recognition.walk import ACTIVATION_PARTS, Walk
from minilm_jax.config import Classifier, SparseHead
from minilm_jax.errors import ConversionError

EncoderTensor = Literal["last_hidden_state", "pooler_output", "logits"]

_FIRST_TOKEN = (*REARRANGING, "Gather", "Slice")


@dataclasses.dataclass(frozen=True)
class Head:
    """What follows the last hidden state.

    Attributes:
        tensors: What the tensors that it computes are, by their names in the graph.
        classifier: The classifier, whose labels have no names yet; or None.
        sparse_head: A head that pools the logits of the language model, if the graph has one; or None.
        decoder: The kernel of these logits [D, V], which is a copy of the word embeddings; or None.
    """

    tensors: Mapping[str, EncoderTensor] = dataclasses.field(default_factory=dict)
    classifier: Classifier | None = None
    sparse_head: SparseHead | None = None
    decoder: Constant | None = None


def find_head(walk: Walk, hidden: str) -> Head:
    """Collect the weights of the head of a graph.

    A head has to be what an output of the graph depends on. Without a classifier, the pooler is found anywhere.

    Args:
        walk: The walk, with the weights of the encoder.
        hidden: The last hidden state.

    Returns:
        The head; it is empty if there is none.

    Raises:
        ConversionError: The head is one of another kind, or there are two.
    """
    after = [linear for linear in walk.linears if linear.output not in walk.used and _reads(walk, linear, hidden)]
    pooled = [head for linear in after if (head := _pooled(walk, linear, hidden)) is not None]
    models = [head for linear in after if (head := _language_model(walk, linear, hidden)) is not None]
    if models and pooled and pooled[0].classifier:
        raise ConversionError(
            "the graph has a classifier and a masked language model, but a model has one head here; export it with one."
        )
    needed = walk.graph.needed()
    for linear in after:
        if linear.output in needed - walk.used and (kind := unsupported_head(walk, linear, hidden)):
            raise ConversionError(
                f"its head is {kind}, which is not supported (the dense layer {linear.kernel.source!r}"
                f" {list(linear.kernel.value.shape)}). Classifiers over the first token and masked language models are."
            )
    if not models:
        return pooled[0] if pooled else Head()
    return dataclasses.replace(models[0], tensors={**models[0].tensors, **(pooled[0].tensors if pooled else {})})


def _reads(walk: Walk, linear: Linear, hidden: str) -> bool:
    found = walk.graph.trace_back(linear.input, _FIRST_TOKEN, lambda tensor: True if tensor == hidden else None)
    return bool(found)


def _pooled(walk: Walk, linear: Linear, hidden: str) -> Head | None:
    """Return the classifier that starts with a dense layer, or the pooler, and take their weights."""
    activated = walk.graph.consumers(linear.output, *CLASSIFIER_ACTIVATIONS)
    if not activated or "pooler.dense.kernel" in walk.weights or walk.same(linear.input, hidden):
        return None
    output = activated[0].output
    layers = [one for one in _next_layers(walk, output, REARRANGING) if walk.is_output(one.output)]
    is_tanh = activated[0].op_type == "Tanh"
    tensors: dict[str, EncoderTensor] = {output: "pooler_output"} if is_tanh else {}
    if len(layers) == 1:
        walk.take_linear("classifier", layers[0])
        labels = tuple(f"LABEL_{index}" for index in range(layers[0].kernel.value.shape[1]))
        classifier = Classifier(labels, "tanh" if is_tanh else "relu")
        head = Head({**tensors, layers[0].output: "logits"}, classifier)
    elif is_tanh:
        head = Head(tensors)
    else:
        return None
    walk.take_linear("pooler.dense", linear)
    return head


def _language_model(walk: Walk, linear: Linear, hidden: str) -> Head | None:
    """Return the masked language model that starts with a dense layer, and take its weights."""
    norms = walk.graph.trace_forward(linear.output, ACTIVATION_PARTS, walk.norms_by_input.get)
    norm = next(itertools.chain(*norms), None)
    layers = _next_layers(walk, norm.output, REARRANGING) if norm is not None else []
    if norm is None or len(layers) != 1 or not walk.is_output(layers[0].output) or not walk.same(linear.input, hidden):
        return None
    decoder, words = layers[0], walk.weights["embeddings.word_embeddings.embedding"]
    check_same_table(words, decoder.kernel)
    walk.take_linear("predictions.transform.dense", linear)
    walk.take_norm("predictions.transform", norm)
    walk.take_bias("predictions.bias", decoder)
    _check_activation(walk, norm.input)
    return Head({decoder.output: "logits"}, sparse_head=SparseHead(), decoder=decoder.kernel)


def _check_activation(walk: Walk, activated: str) -> None:
    activation = walk.activation(activated, "predictions.transform")
    # RoBERTa always has the exact GELU here.
    is_exact = walk.tables.positions.padding_idx is not None
    expected = {"gelu"} if is_exact else walk.seen["hidden_act"]
    if activation not in expected:
        raise ConversionError(
            f"predictions.transform: the activation is {activation}; it must be {' and '.join(map(str, expected))}."
        )


def _next_layers(walk: Walk, tensor: str, through: tuple[str, ...]) -> list[Linear]:
    return list(itertools.chain(*walk.graph.trace_forward(tensor, through, walk.linears_by_input.get)))
