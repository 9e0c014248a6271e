"""Why a text's vector came out as it did, in numbers: attention weights, and each word's share in a similarity."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from minilm_jax.config import ALL_MINILM_L6_V2, EncoderConfig
from minilm_jax.errors import InputError
from minilm_jax.nn.dense import dense, shared_input
from minilm_jax.nn.embedding import embed
from minilm_jax.nn.encoder import encode
from minilm_jax.nn.pooling import l2_normalize
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.tokens.batching import Batch, bucket_length
from minilm_jax.tokens.tokenizer import Piece

# Of the path's integral; with 32 the shares add up to 1e-3, and more change no picture.
_STEPS = 32
# The id of [PAD] in BERT's vocabularies.
_PADDING = 0


class WordShare(NamedTuple):
    """What a word adds to the similarity of its text with another.

    Attributes:
        word: As it stands in the text.
        start: Its first character in the text.
        end: One past its last character.
        share: In units of the cosine; a word below zero makes the texts less alike.
    """

    word: str
    start: int
    end: int
    share: float


def attention_weights(params: Any, batch: Batch, config: EncoderConfig = ALL_MINILM_L6_V2, *, layer: int = -1) -> Array:
    """Computes how much each token attends to each other one, in one layer.

    `encode` never forms these numbers all at once, so they are computed anew from the layer's input.

    Args:
        params: Nested dict of arrays, see `minilm_jax.load_params`.
        batch: Token ids int[B, T] with their mask.
        config: Sizes of the encoder that params belong to.
        layer: From 0; -1 is the last one (static under jit).

    Returns:
        float32[B, N, T, T]: of each head and token, one row of weights over the tokens that sums to 1.

    Raises:
        InputError: There is no such layer, or the shapes of the batch do not fit.
    """
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


def word_shares(encoder: SentenceEncoder, text: str, other: str) -> list[WordShare]:
    """Tells which words of a text make it similar to another text.

    Integrated gradients (Sundararajan et al., 2017): the gradient of the cosine with respect to every word embedding,
    averaged on the way from a text of [PAD] only, times the way. The shares add up to the difference that the words
    made, the cosine of the two texts less that of the empty one.

    Args:
        encoder: In float32 or bfloat16, which have gradients.
        text: Whose words are asked about; cut at the encoder's max_seq_length.
        other: What it is compared with.

    Returns:
        One share for each word and punctuation mark, in their order in the text.

    Raises:
        InputError: The encoder is in int8, or a text cannot be embedded.
    """
    if "input_scale" in encoder.params["encoder"]["layer"]["0"]["intermediate"]:
        raise InputError("an int8 encoder has no gradients; load it in float32 or bfloat16.")
    pieces = encoder.tokenizer.pieces(text, encoder.max_seq_length)
    ids = np.full(bucket_length(len(pieces)), _PADDING, np.int32)
    ids[: len(pieces)] = [piece.id for piece in pieces]
    mask = np.arange(len(ids)) < len(pieces)
    stays = ~mask | (ids == pieces[0].id) | (ids == pieces[-1].id)
    shares = _token_shares(encoder.params, ids, mask, stays, encoder.encode(other), encoder.config)
    return _merge(text, pieces, np.asarray(shares).tolist())


@jax.jit
def _token_shares(params: Any, ids: Any, mask: Any, stays: Any, other: Any, config: EncoderConfig) -> Array:
    """Returns the share of each token, float32[T]; those that `stays`, bool[T], names have none."""
    table = params["embeddings"]["word_embeddings"]["embedding"].astype(jnp.float32)
    end = table[ids]
    start = jnp.where(stays[:, None], end, table[_PADDING][None])
    middle = (jnp.arange(_STEPS, dtype=jnp.float32) + 0.5) / _STEPS
    points = start[None] + middle[:, None, None] * (end - start)[None]
    cosines = functools.partial(_cosines, params, mask=mask, other=other, config=config)
    gradient = jax.grad(lambda rows: cosines(rows).sum())(points).mean(axis=0)
    return jnp.sum(gradient * (end - start), axis=-1)


def _cosines(params: Any, rows: Array, mask: Array, other: Array, config: EncoderConfig) -> Array:
    """Embeds S sequences of word embeddings, [S, T, D], and compares each with one vector; float32[S]."""
    count, length, width = rows.shape
    # The words become a table of their own, in which the i-th token is row i.
    table = {"word_embeddings": {"embedding": rows.reshape(-1, width)}}
    ids = jnp.arange(count * length, dtype=jnp.int32).reshape(count, length)
    batch = Batch(ids, jnp.broadcast_to(mask, ids.shape))
    own = embed(
        params | {"embeddings": params["embeddings"] | table},
        batch,
        dataclasses.replace(config, vocab_size=ids.size),
    )
    return l2_normalize(own) @ l2_normalize(other)


def _merge(text: str, pieces: Sequence[Piece], shares: Sequence[float]) -> list[WordShare]:
    words = []
    of_words = ((piece, share) for piece, share in zip(pieces, shares, strict=False) if piece.word is not None)
    for _, group in itertools.groupby(of_words, key=lambda pair: pair[0].word):
        found = list(group)
        start, end = found[0][0].start, found[-1][0].end
        words.append(WordShare(text[start:end], start, end, sum(share for _, share in found)))
    return words
