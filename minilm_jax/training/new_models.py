"""Models to start a training with: a cross-encoder from an encoder, and a student with fewer layers."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from minilm_jax.arguments import integer
from minilm_jax.config import Classifier
from minilm_jax.cross_encoder import CrossEncoder
from minilm_jax.errors import InputError
from minilm_jax.nn.encoder_params import EncoderParams, init_params
from minilm_jax.sentence_encoder import SentenceEncoder


def new_cross_encoder(
    encoder: SentenceEncoder,
    labels: Sequence[str] = ("relevance",),
    *,
    max_seq_length: int | None = None,
    seed: int = 0,
) -> CrossEncoder:
    """Return a cross-encoder with the weights of an encoder and a random classifier.

    Args:
        encoder: The encoder; its pooler is used, or a random one if it has none.
        labels: Names of the labels; one for a reranker.
        max_seq_length: Maximum tokens per pair; by default that of the encoder.
        seed: Number that determines the random weights.

    Raises:
        InputError: There are no labels.
    """
    if not labels or isinstance(labels, str):
        raise InputError(f"labels is {labels!r}; pass a list of one name or several.")
    config = dataclasses.replace(encoder.config, classifier=Classifier(tuple(labels)), pooling="cls", projections=())
    random = init_params(config, jax.random.key(seed))
    known = {name: leaf for name, leaf in encoder.params.items() if name in random}
    longest = encoder.max_seq_length if max_seq_length is None else max_seq_length
    return CrossEncoder(EncoderParams({**random, **known}, config), tokenizer=encoder.tokenizer, max_seq_length=longest)


def with_layers(encoder: SentenceEncoder, layers: Sequence[int]) -> SentenceEncoder:
    """Return an encoder with some of the layers of another one, such as a student for distillation.

    Args:
        encoder: The encoder.
        layers: Indices of the layers that are kept, in order, such as [0, 2, 5].

    Raises:
        InputError: There is no such layer, or none is given.
    """
    count = encoder.config.num_hidden_layers
    chosen = [integer("layers", layer, 0) for layer in layers]
    if not chosen or max(chosen) >= count:
        raise InputError(f"layers is {layers!r}; pass indices from 0 to {count - 1}.")
    config = dataclasses.replace(encoder.config, num_hidden_layers=len(chosen))
    own = encoder.params["encoder"]["layer"]
    kept = {str(index): jax.tree.map(jnp.copy, own[str(layer)]) for index, layer in enumerate(chosen)}
    params = EncoderParams({**encoder.params, "encoder": {"layer": kept}}, config)
    return SentenceEncoder(
        params, tokenizer=encoder.tokenizer, max_seq_length=encoder.max_seq_length, prompts=encoder.prompts
    )
