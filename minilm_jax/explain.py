"""Explanations of a vector: attention weights, and the contribution of each word to the similarity of two texts."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from minilm_jax.arguments import integer
from minilm_jax.config import EncoderConfig
from minilm_jax.errors import InputError
from minilm_jax.nn.dense import dense, shared_input
from minilm_jax.nn.embedding import embed
from minilm_jax.nn.encoder import encode
from minilm_jax.nn.encoder_params import config_of
from minilm_jax.nn.pooling import l2_normalize
from minilm_jax.nn.settings import device_use
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.tokens.batching import Batch, bucket_length
from minilm_jax.tokens.texts import check_text
from minilm_jax.tokens.tokenizer import Piece

# With 32 steps of numerical integration, the contributions add up to within 1e-3; more steps do not change a plot.
_STEPS = 32


class WordContribution(NamedTuple):
    """Contribution of a word to the similarity of its text with another text.

    Attributes:
        word: The word as written in the text.
        start: Index of its first character in the text.
        end: Index after its last character.
        contribution: Part of the cosine similarity; negative if the word makes the texts less similar.
    """

    word: str
    start: int
    end: int
    contribution: float


@device_use()
def attention_weights(params: Any, batch: Batch, config: EncoderConfig | None = None, *, layer: int = -1) -> Array:
    """Compute the attention weights of one layer.

    `encode` never stores these weights, so they are recomputed from the input of the layer.

    Args:
        params: Nested dict of arrays, see `minilm_jax.load_params`.
        batch: Token ids int[B, T] with their mask.
        config: Config of the encoder that the params belong to; by default the one that they carry.
        layer: Index of the layer, from 0; -1 is the last one (static under jit).

    Returns:
        float32[B, N, T, T]: for each head and token, weights over all tokens, which sum to 1.

    Raises:
        InputError: The layer does not exist, or the shapes of the batch do not match.
    """
    config = config_of(params, config)
    layer = integer("layer", layer, minimum=None)
    if not -config.num_hidden_layers <= layer < config.num_hidden_layers:
        raise InputError(f"layer is {layer}; the model has {config.num_hidden_layers}, counted from 0.")
    index = layer % config.num_hidden_layers
    hidden_states = encode(params, batch, config, output_hidden_states=True).hidden_states
    assert hidden_states is not None
    hidden_state = hidden_states[index]
    own = params["encoder"]["layer"][str(index)]["attention"]["self"]
    x, heads = shared_input(own, hidden_state), (*hidden_state.shape[:2], config.num_attention_heads, -1)
    query, key = (dense(own[name], x).astype(hidden_state.dtype).reshape(heads) for name in ("query", "key"))
    scores = jnp.einsum("btnh,bsnh->bnts", query, key, precision=lax.Precision.HIGHEST) * query.shape[-1] ** -0.5
    return jax.nn.softmax(scores, where=jnp.asarray(batch.attention_mask).astype(bool)[:, None, None])


def word_contributions(encoder: SentenceEncoder, text: str, other: str) -> list[WordContribution]:
    """Compute the contribution of each word of a text to its similarity with another text.

    The method is integrated gradients (Sundararajan et al., 2017): the gradient of the cosine similarity with respect
    to each word embedding is averaged over a straight path from a text of [PAD] tokens to `text`, and multiplied by the
    change of the embedding along the path. The contributions add up to the similarity of `text` and `other` minus that
    of the text of [PAD] tokens and `other`.

    Args:
        encoder: An encoder in float32 or bfloat16; int8 is not differentiable.
        text: The text whose words are explained; truncated at the encoder's max_seq_length.
        other: The text that it is compared with.

    Returns:
        One item per word or punctuation mark, in the order of the text.

    Raises:
        InputError: The encoder is in int8, or a text cannot be embedded.
    """
    if "input_scale" in encoder.params["encoder"]["layer"]["0"]["intermediate"]:
        raise InputError("an int8 encoder has no gradients; load it in float32 or bfloat16.")
    check_text(other, 1)
    pieces = encoder.tokenizer.pieces(text, encoder.max_seq_length)
    ids = np.full(bucket_length(len(pieces)), _padding_id(encoder.config), np.int32)
    ids[: len(pieces)] = [piece.id for piece in pieces]
    mask = np.arange(len(ids)) < len(pieces)
    fixed = ~mask | (ids == pieces[0].id) | (ids == pieces[-1].id)
    contributions = _token_contributions(encoder.params, ids, mask, fixed, encoder.encode(other), encoder.config)
    return _merge(text, pieces, np.asarray(contributions).tolist())


@device_use()
@jax.jit
def _token_contributions(params: Any, ids: Any, mask: Any, fixed: Any, other: Any, config: EncoderConfig) -> Array:
    """Return the contribution of each token, float32[T]; it is 0 for the tokens in `fixed`, bool[T]."""
    table = params["embeddings"]["word_embeddings"]["embedding"].astype(jnp.float32)
    end = table[ids]
    start = jnp.where(fixed[:, None], end, table[_padding_id(config)][None])
    middle = (jnp.arange(_STEPS, dtype=jnp.float32) + 0.5) / _STEPS
    points = start[None] + middle[:, None, None] * (end - start)[None]
    cosines = functools.partial(_cosines, params, mask=mask, other=other, config=config)
    gradient = jax.grad(lambda rows: cosines(rows).sum())(points).mean(axis=0)
    return jnp.sum(gradient * (end - start), axis=-1)


def _padding_id(config: EncoderConfig) -> int:
    # This is the id of [PAD] in the vocabularies of BERT.
    return 0 if config.padding_idx is None else config.padding_idx


def _cosines(params: Any, rows: Array, mask: Array, other: Array, config: EncoderConfig) -> Array:
    """Embed S sequences of word embeddings, [S, T, D], and return their cosines with one vector, float32[S]."""
    count, length, width = rows.shape
    # `embed` takes token ids, so the word embeddings become the table, and every token gets the id of its own row.
    # Rows up to RoBERTa's padding id are not used, because that id is not counted as a position.
    first = 0 if config.padding_idx is None else config.padding_idx + 1
    table = {"word_embeddings": {"embedding": jnp.pad(rows.reshape(-1, width), ((first, 0), (0, 0)))}}
    ids = first + jnp.arange(count * length, dtype=jnp.int32).reshape(count, length)
    batch = Batch(ids, jnp.broadcast_to(mask, ids.shape))
    own = embed(
        {**params, "embeddings": params["embeddings"] | table},
        batch,
        dataclasses.replace(config, vocab_size=first + ids.size),
    )
    return l2_normalize(own) @ l2_normalize(other)


def _merge(text: str, pieces: Sequence[Piece], contributions: Sequence[float]) -> list[WordContribution]:
    words = []
    in_words = ((piece, value) for piece, value in zip(pieces, contributions, strict=False) if piece.word is not None)
    for _, group in itertools.groupby(in_words, key=lambda pair: pair[0].word):
        found = list(group)
        start, end = found[0][0].start, found[-1][0].end
        words.append(WordContribution(text[start:end], start, end, sum(value for _, value in found)))
    return words
