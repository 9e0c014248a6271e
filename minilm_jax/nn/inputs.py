"""The encoder's inputs for padded batches and packed rows: ids, positions and attention masks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, export
from jax.core import Tracer

from minilm_jax.config import EncoderConfig
from minilm_jax.errors import InputError
from minilm_jax.tokens.batching import Batch, as_int32
from minilm_jax.tokens.packed_rows import AnyBatch, PackedBatch, check_lengths, check_shapes

# A single zero is broadcast to all tokens, which is faster than looking up zeros.
_NO_TOKEN_TYPES = np.zeros((1, 1), np.int32)


class Inputs(NamedTuple):
    """Inputs of the encoder.

    Attributes:
        input_ids: int[B, T].
        token_type_ids: int[B, T], or [1, 1] if all are equal.
        position_ids: int[B, T], or [1, T] if all rows are equal.
        mask: bool[B, T], the attended tokens; or bool[B, T, T] if they differ per token.
    """

    input_ids: Array
    token_type_ids: Array
    position_ids: Array
    mask: Array


# `jax.export` stores the types of a program's arguments by these names.
for _type in (Batch, PackedBatch):
    export.register_namedtuple_serialization(_type, serialized_name=f"minilm_jax.{_type.__name__}")


def as_batch(batch: Any) -> AnyBatch:
    """Return a batch, or a dict with the fields of one, as a batch; raises InputError for anything else."""
    if isinstance(batch, Batch | PackedBatch):
        return batch
    if isinstance(batch, Mapping) and {"input_ids", "attention_mask"} <= batch.keys() <= set(Batch._fields):
        return Batch(**batch)
    raise InputError(
        f"batch is {type(batch).__name__}; pass the Batch that mj.tokenize(texts) returns, or a dict of input_ids,"
        " attention_mask and token_type_ids. SentenceEncoder.encode takes texts."
    )


def encoder_inputs(batch: AnyBatch, config: EncoderConfig) -> Inputs:
    """Return the inputs for a batch; raises InputError if its shapes do not fit each other or the position table."""
    return _packed(batch, config) if isinstance(batch, PackedBatch) else _padded(batch, config)


def token_ids(name: str, ids: Any) -> Array:
    """Return ids as an array of at most 32 bits, with -1 for those that do not fit; raises InputError for floats."""
    array = ids if isinstance(ids, Array) else as_int32(ids)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise InputError(f"{name} has the dtype {array.dtype}; it must be an integer dtype, such as int32.")
    if array.dtype.itemsize == 8:
        fits = (array >= 0) & (array <= np.iinfo(np.int32).max)
        return jnp.where(fits, array, -1).astype(jnp.int32)
    return jnp.asarray(array)


def _check_rows(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[1] == 0:
        raise InputError(f"input_ids has shape {shape}; it must be [B, T] with at least one token per row.")


def _padded(batch: Batch, config: EncoderConfig) -> Inputs:
    shape = jnp.shape(batch.input_ids)
    _check_rows(shape)
    if shape[1] > config.max_length:
        raise InputError(f"{shape[1]} tokens per row, but the model has {config.max_length} positions.")
    if batch.attention_mask is None:
        raise InputError("attention_mask is None; pass an array with the shape of input_ids.")
    for name in ("attention_mask", "token_type_ids"):
        value = getattr(batch, name)
        if value is not None and jnp.shape(value) != shape:
            raise InputError(f"{name} has shape {jnp.shape(value)}, input_ids {shape}; they must be equal.")
    token_type_ids = _NO_TOKEN_TYPES if batch.token_type_ids is None else batch.token_type_ids
    mask = jnp.asarray(batch.attention_mask).astype(bool)
    input_ids, places = token_ids("input_ids", batch.input_ids), jnp.arange(shape[1], dtype=jnp.int32)[None]
    if config.padding_idx is not None:
        places = _counted(input_ids, config.padding_idx)
    return Inputs(input_ids, token_ids("token_type_ids", token_type_ids), places, mask)


def _counted(input_ids: Array, padding_idx: int) -> Array:
    """Return RoBERTa's positions, as `create_position_ids_from_input_ids` of transformers does."""
    is_text = _is_text(input_ids, padding_idx)
    return jnp.cumsum(is_text, axis=1) * is_text + padding_idx


def _is_text(input_ids: Array, padding_idx: int) -> Array:
    # Padding ids above 255 do not fit ids of 8 bits.
    return (input_ids.astype(jnp.int32) != padding_idx).astype(jnp.int32)


def _packed(batch: PackedBatch, config: EncoderConfig) -> Inputs:
    check_shapes(batch)
    _check_rows(jnp.shape(batch.input_ids))
    if not isinstance(batch.lengths, Tracer):
        check_lengths(batch)
    starts, is_own = spans(batch)
    texts = _sum_of_texts(is_own, jnp.arange(1, is_own.shape[1] + 1, dtype=jnp.int32)[None, :, None])
    places = _sum_of_texts(is_own, _places(batch) - starts[..., None])
    mask = texts[:, :, None] == texts[:, None, :]
    input_ids, token_type_ids = token_ids("input_ids", batch.input_ids), jnp.asarray(_NO_TOKEN_TYPES)
    if batch.first_lengths is not None:
        seconds = starts + jnp.asarray(batch.first_lengths).astype(jnp.int32)
        token_type_ids = _sum_of_texts(is_own, (_places(batch) >= seconds[..., None]).astype(jnp.int32))
    if config.padding_idx is not None:
        places = _counted_per_text(input_ids, is_own, config.padding_idx)
    return Inputs(input_ids, token_type_ids, places, mask)


def _sum_of_texts(is_own: Array, values: Array) -> Array:
    return jnp.where(is_own, values, 0).sum(axis=1, dtype=jnp.int32)


def _counted_per_text(input_ids: Array, is_own: Array, padding_idx: int) -> Array:
    is_text, is_own = _is_text(input_ids, padding_idx), is_own.astype(jnp.int32)
    counts = jnp.cumsum(is_own * is_text[:, None], axis=2) * is_own
    return counts.sum(axis=1, dtype=jnp.int32) * is_text + padding_idx


def spans(batch: PackedBatch) -> tuple[Array, Array]:
    """Return the start of each text in its row, int32[B, S], and a mask of its tokens, bool[B, S, T]."""
    lengths = jnp.asarray(batch.lengths).astype(jnp.int32)
    ends, places = jnp.cumsum(lengths, axis=1), _places(batch)
    return ends - lengths, (places >= (ends - lengths)[..., None]) & (places < ends[..., None])


def text_mask(batch: AnyBatch) -> Array:
    """Return the tokens of each text, bool[B, T], or bool[B, S, T] for packed rows."""
    return spans(batch)[1] if isinstance(batch, PackedBatch) else jnp.asarray(batch.attention_mask).astype(bool)


def _places(batch: PackedBatch) -> Array:
    return jnp.arange(jnp.shape(batch.input_ids)[1], dtype=jnp.int32)[None, None]
