"""BERT (Devlin et al., 2018) as Linen modules, and `encode`, the pure function over them.

Modules are nested and named as in Hugging Face checkpoints, so a parameter's path is its name there.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from minilm_jax.config import EncoderConfig
from minilm_jax.nn.attention import attention
from minilm_jax.nn.dense import HALF_TYPES, Quantized, dense, quantize, shared_input
from minilm_jax.nn.dropout import dropout, split_key
from minilm_jax.nn.encoder_params import config_of
from minilm_jax.nn.inputs import Inputs, as_batch, encoder_inputs
from minilm_jax.nn.partitioning import partitioned
from minilm_jax.nn.settings import device_use
from minilm_jax.tokens.packed_rows import AnyBatch, PackedBatch

# `init_params` draws the real parameters. These initializers only declare shapes, and zeros are cheap to trace.
_INITIALIZER = nn.initializers.zeros


class EncoderOutput(NamedTuple):
    """Outputs of the encoder.

    Attributes:
        last_hidden_state: float32[B, T, D], one vector per token.
        pooler_output: float32[B, D], BERT's tanh pooler over the first token, or None if params have no pooler. It is
            not the sentence embedding, which `embed` computes.
        hidden_states: The outputs of the embedding layer and of every layer, float32[B, T, D] each, or None.
    """

    last_hidden_state: Array
    pooler_output: Array | None
    hidden_states: tuple[Array, ...] | None = None


@device_use()
def encode(
    params: Any,
    batch: AnyBatch | Mapping[str, Any],
    config: EncoderConfig | None = None,
    *,
    output_hidden_states: bool = False,
    dropout_key: Array | None = None,
) -> EncoderOutput:
    """Run the encoder, which maps token ids to one vector per token.

    Args:
        params: Nested dict of float32 arrays, see `minilm_jax.load_params`.
        batch: Token ids int[B, T] with their mask; an id outside the vocabulary, negative ones included, gives NaN, as
            compiled code cannot raise an error. Or packed rows, whose texts are computed independently; they have no
            pooler_output.
        config: The config that params belong to; by default the one that they carry, or that of all-MiniLM-L6-v2 for a
            plain dict with its sizes.
        output_hidden_states: Whether to return every layer's output as well (static under jit).
        dropout_key: A `jax.random.key` for dropout with the probabilities of the config, as in training; None computes
            without dropout.

    Returns:
        The token vectors, and the pooler's output if params have a pooler.

    Raises:
        InputError: The shapes of the batch do not fit each other or the position table, ids are not integers, params do
            not fit the config, or a gradient is taken of int8 params.

    Examples:
        >>> import jax
        >>> import minilm_jax as mj
        >>> output = jax.jit(mj.encode)(mj.load_params(), mj.tokenize(["Hello world"]))
        >>> output.last_hidden_state.shape, output.pooler_output.shape
        ((1, 8, 384), (1, 384))
    """
    config, batch = config_of(params, config), as_batch(batch)
    output = _encode(params, batch, config, dropout_key)
    return output if output_hidden_states else output._replace(hidden_states=None)


@partitioned
def _encode(params: Any, batch: AnyBatch, config: EncoderConfig, key: Array | None) -> EncoderOutput:
    states = _hidden_states(params, encoder_inputs(batch, config), config, key)
    has_pooler = "pooler" in params and not isinstance(batch, PackedBatch)
    pooled = _apply(Pooler(config), params["pooler"], states[-1]) if has_pooler else None
    return EncoderOutput(states[-1], pooled, states)


def _hidden_states(params: Any, inputs: Inputs, config: EncoderConfig, key: Array | None) -> tuple[Array, ...]:
    first_key, *keys = split_key(key, 1 + config.num_hidden_layers)
    states = [_apply(Embeddings(config), params["embeddings"], *inputs[:3], key=first_key)]
    for index in range(config.num_hidden_layers):
        layer = params["encoder"]["layer"][str(index)]
        states.append(_apply(Layer(config), layer, states[-1], inputs.mask, key=keys[index]))
    return tuple(states)


def _apply(module: nn.Module, params: Any, *inputs: Any, key: Array | None = None) -> Array:
    output: Any = module.apply({"params": params}, *inputs, rngs=None if key is None else {"dropout": key})
    return output


def _dropout_key(module: nn.Module) -> Array | None:
    """Return a new key for dropout, or None if the module is applied without one."""
    return module.make_rng("dropout") if module.has_rng("dropout") else None


def gelu(x: Array) -> Array:
    """Compute the exact GELU, x · Φ(x) (Hendrycks & Gimpel, 2016), elementwise over float[...]."""
    # jax.nn.gelu(approximate=False) lowers to erfc, which is slower on CPU and is never fused.
    return x * (0.5 + 0.5 * lax.erf(x * 0.5**0.5))


ACTIVATIONS = {"gelu": gelu, "gelu_new": nn.gelu}
# This is the minimum of both activations, so int8 quantization does not need to search for it.
_LOWEST = -0.1701


class Dense(nn.Module):
    """A dense layer in the precision of its params, see `minilm_jax.nn.dense`."""

    features: int

    @nn.compact
    def __call__(self, x: Array | Quantized) -> Array:
        """Map [..., D or F] to [..., features]."""
        self.param("kernel", _INITIALIZER, (x.shape[-1], self.features))
        self.param("bias", _INITIALIZER, (self.features,))
        return dense(self.variables["params"], x)


class Table(nn.Module):
    """An embedding table; ids without a row give NaN, and rows stored in 16 bits are returned in float32."""

    rows: int
    features: int

    @nn.compact
    def __call__(self, ids: Array) -> Array:
        """Map int[...] to [..., features]."""
        table: Any = self.param("embedding", _INITIALIZER, (self.rows, self.features))
        rows = jnp.asarray(table).at[ids].get(mode="fill", wrap_negative_indices=False)
        return rows.astype(jnp.float32) if rows.dtype in HALF_TYPES else rows


def _layer_norm(config: EncoderConfig) -> nn.LayerNorm:
    # Flax's default epsilon is 1e-6, and its default variance, E[x²] - E[x]², loses half the digits.
    return nn.LayerNorm(epsilon=config.layer_norm_eps, use_fast_variance=False, name="LayerNorm")


class Embeddings(nn.Module):
    """The normalized sum of word, token type and position embeddings."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, input_ids: Array, token_type_ids: Array, position_ids: Array) -> Array:
        """Map ids int[B, T], or ids that broadcast to that shape, to vectors [B, T, D]."""
        words = self._table("word_embeddings", self.config.vocab_size)(input_ids)
        token_types = self._table("token_type_embeddings", self.config.type_vocab_size)(token_type_ids)
        positions = self._table("position_embeddings", self.config.max_position_embeddings)(position_ids)
        normalized = _layer_norm(self.config)(words + token_types + positions)
        return dropout(normalized, self.config.hidden_dropout_prob, _dropout_key(self))

    def _table(self, name: str, rows: int) -> Table:
        return Table(rows, self.config.hidden_size, name=name)


class Layer(nn.Module):
    """One transformer layer: attention and the feed-forward network, each with residual and LayerNorm."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, hidden_state: Array, mask: Array) -> Array:
        """Map [B, T, D] to [B, T, D]."""
        attended = Attention(self.config, name="attention")(hidden_state, mask)
        widened = Intermediate(self.config, name="intermediate")(attended)
        return ResidualDense(self.config, name="output")(widened, attended)


class Attention(nn.Module):
    """Self-attention and its output projection."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, hidden_state: Array, mask: Array) -> Array:
        """Map [B, T, D] to [B, T, D]."""
        context = SelfAttention(self.config, name="self")(hidden_state, mask)
        return ResidualDense(self.config, name="output")(context, hidden_state)


class SelfAttention(nn.Module):
    """Query, key and value projections, and attention."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, hidden_state: Array, mask: Array) -> Array:
        """Map [B, T, D] to [B, T, D]."""
        params, width = self.variables.get("params", {}), self.config.hidden_size
        x = shared_input(params, hidden_state)
        if "query_key_value" in params:
            query, key, value = jnp.split(Dense(3 * width, name="query_key_value")(x), 3, axis=-1)
        else:
            query, key, value = (Dense(width, name=name)(x) for name in ("query", "key", "value"))
        return attention(
            query,
            key,
            value,
            mask,
            num_heads=self.config.num_attention_heads,
            implementation=self.config.attention_implementation,
            dropout_rate=self.config.attention_probs_dropout_prob,
            dropout_key=_dropout_key(self),
        )


class Intermediate(nn.Module):
    """The first half of the feed-forward network, with the activation."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, hidden_state: Array) -> Array | Quantized:
        """Map [B, T, D] to [B, T, F]."""
        x = shared_input(self.variables.get("params", {}), hidden_state)
        wide = ACTIVATIONS[self.config.hidden_act](Dense(self.config.intermediate_size, name="dense")(x))
        return quantize(wide, lowest=_LOWEST) if isinstance(x, Quantized) else wide


class ResidualDense(nn.Module):
    """A projection with residual and LayerNorm."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, update: Array | Quantized, residual: Array) -> Array:
        """Map [B, T, D or F] and the residual [B, T, D] to [B, T, D]."""
        projected = Dense(self.config.hidden_size, name="dense")(update)
        kept = dropout(projected, self.config.hidden_dropout_prob, _dropout_key(self))
        return _layer_norm(self.config)(kept + residual)


class Pooler(nn.Module):
    """BERT's pooler: a dense layer with tanh over the first token."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, hidden_state: Array) -> Array:
        """Map [B, T, D] to [B, D]."""
        return jax.nn.tanh(Dense(self.config.hidden_size, name="dense")(hidden_state[:, 0]))
