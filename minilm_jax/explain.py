"""Explanations: attention weights, and the contribution of each word to the similarity or score of two texts."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.config import EncoderConfig
from minilm_jax.cross_encoder import CrossEncoder
from minilm_jax.errors import InputError
from minilm_jax.nn.classification import classify
from minilm_jax.nn.dense import dense, shared_input
from minilm_jax.nn.embedding import embed
from minilm_jax.nn.encoder import encode
from minilm_jax.nn.encoder_params import EncoderParams, config_of
from minilm_jax.nn.pooling import l2_normalize
from minilm_jax.nn.settings import device_use
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.text_model import TextModel
from minilm_jax.tokens.batching import Batch, bucket_length
from minilm_jax.tokens.texts import check_text
from minilm_jax.tokens.tokenizer import Piece

# With 32 steps of numerical integration, the contributions add up to within 1e-3; more steps do not change a plot.
_STEPS = 32


class WordContribution(NamedTuple):
    """Contribution of a word to the similarity of its text with another text, or to their score.

    Attributes:
        word: The word as written in the text.
        start: Index of its first character in the text.
        end: Index after its last character.
        contribution: Part of the cosine similarity or of the logit; negative if the word lowers it.
    """

    word: str
    start: int
    end: int
    contribution: float


class PairContributions(NamedTuple):
    """Contributions of the words of a pair of texts.

    Attributes:
        first: Those of the first text.
        second: Those of the second text.
    """

    first: list[WordContribution]
    second: list[WordContribution]


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
    params = _differentiable_params(encoder)
    check_text(other, 1)
    pieces = encoder.tokenizer.pieces(text, encoder.max_seq_length)
    batch = _padded(pieces, encoder.config)
    goal = encoder.encode(other)
    contributions = _token_contributions(
        params, batch, _of_text(pieces, 0, batch), goal, encoder.config, score=_cosines
    )
    return _merge(text, pieces, np.asarray(contributions).tolist())


def pair_contributions(model: CrossEncoder, first: str, second: str, label: int = 0) -> PairContributions:
    """Compute the contribution of each word of a pair of texts to a logit of a cross-encoder.

    The method is that of `word_contributions`, one text at a time: the contributions of a text's words add up to the
    logit of the pair minus that of the pair with this text replaced by [PAD] tokens.

    Args:
        model: A cross-encoder in float32 or bfloat16; int8 is not differentiable.
        first: The first text, such as a query.
        second: The second text, such as a document.
        label: The index of the label.

    Returns:
        One item per word or punctuation mark of each text.

    Raises:
        InputError: The model is in int8, a text cannot be tokenized, or the label does not exist.
    """
    params = _differentiable_params(model)
    label = integer("label", label, minimum=0)
    if label >= model.num_labels:
        raise InputError(f"label is {label}; the model has {model.num_labels}, counted from 0.")
    pieces = model.tokenizer.pair_pieces(first, second, model.max_seq_length)
    batch, found = _padded(pieces, model.config), []
    for index, text in enumerate((first, second)):
        varied = _of_text(pieces, index, batch)
        tokens = _token_contributions(params, batch, varied, np.int32(label), model.config, score=_logits)
        # Words are counted in each text.
        values = [*zip(pieces, np.asarray(tokens).tolist(), strict=False)]
        own = [(piece, value) for piece, value in values if piece.text == index]
        found.append(_merge(text, [piece for piece, _ in own], [value for _, value in own]))
    return PairContributions(*found)


def _differentiable_params(model: TextModel) -> EncoderParams:
    params = model.params
    if "input_scale" in params["encoder"]["layer"]["0"]["intermediate"]:
        raise InputError("an int8 model has no gradients; load it in float32 or bfloat16.")
    return params


def _padded(pieces: Sequence[Piece], config: EncoderConfig) -> Batch:
    """Return the tokens of one text or pair as int32[T] arrays, padded to a bucket."""
    shape = bucket_length(len(pieces))
    ids, types = np.full(shape, _padding_id(config), np.int32), np.zeros(shape, np.int32)
    ids[: len(pieces)] = [piece.id for piece in pieces]
    types[: len(pieces)] = [piece.type for piece in pieces]
    return Batch(ids, np.arange(shape) < len(pieces), types)


def _of_text(pieces: Sequence[Piece], text: int, batch: Batch) -> NDArray[np.bool_]:
    """Return which tokens belong to a text, bool[T]."""
    own = np.zeros(len(batch.input_ids), bool)
    own[: len(pieces)] = [piece.text == text for piece in pieces]
    return own


@device_use()
@functools.partial(jax.jit, static_argnames="score")
def _token_contributions(
    params: Any, batch: Batch, varied: Any, goal: Any, config: EncoderConfig, *, score: Callable[..., Array]
) -> Array:
    """Return the contribution of each token, float32[T], to a score; it is 0 except for the tokens in `varied`."""
    table = params["embeddings"]["word_embeddings"]["embedding"].astype(jnp.float32)
    end = table[batch.input_ids]
    start = jnp.where(varied[:, None], table[_padding_id(config)][None], end)
    middle = (jnp.arange(_STEPS, dtype=jnp.float32) + 0.5) / _STEPS
    points = start[None] + middle[:, None, None] * (end - start)[None]

    def total(rows: Array) -> Array:
        return score(*_with_word_embeddings(params, rows, batch, config), goal).sum()

    return jnp.sum(jax.grad(total)(points).mean(axis=0) * (end - start), axis=-1)


def _padding_id(config: EncoderConfig) -> int:
    # This is the id of [PAD] in the vocabularies of BERT.
    return 0 if config.padding_idx is None else config.padding_idx


def _with_word_embeddings(
    params: Any, rows: Array, batch: Batch, config: EncoderConfig
) -> tuple[Any, Batch, EncoderConfig]:
    """Return params, a batch and a config whose word embeddings are S given sequences, [S, T, D]."""
    count, length, width = rows.shape
    # The functions take token ids, so the word embeddings become the table, and every token gets the id of its own row.
    # Rows up to RoBERTa's padding id are not used, because that id is not counted as a position.
    first = 0 if config.padding_idx is None else config.padding_idx + 1
    table = {"word_embeddings": {"embedding": jnp.pad(rows.reshape(-1, width), ((first, 0), (0, 0)))}}
    ids = first + jnp.arange(count * length, dtype=jnp.int32).reshape(count, length)
    mask, types = (jnp.broadcast_to(x, ids.shape) for x in batch[1:])
    changed = dict(params) | {"embeddings": params["embeddings"] | table}
    return changed, Batch(ids, mask, types), dataclasses.replace(config, vocab_size=first + ids.size)


def _cosines(params: Any, batch: Batch, config: EncoderConfig, goal: Array) -> Array:
    """Return the cosines of rows with one vector, float32[S]."""
    return l2_normalize(embed(params, batch, config)) @ l2_normalize(goal)


def _logits(params: Any, batch: Batch, config: EncoderConfig, goal: Array) -> Array:
    """Return the logits of rows for one label, float32[S]."""
    return jnp.take(classify(params, batch, config), goal, axis=1)


def _merge(text: str, pieces: Sequence[Piece], contributions: Sequence[float]) -> list[WordContribution]:
    words = []
    in_words = ((piece, value) for piece, value in zip(pieces, contributions, strict=False) if piece.word is not None)
    for _, group in itertools.groupby(in_words, key=lambda pair: pair[0].word):
        found = list(group)
        start, end = found[0][0].start, found[-1][0].end
        words.append(WordContribution(text[start:end], start, end, sum(value for _, value in found)))
    return words
