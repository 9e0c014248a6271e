"""`cast`: params in bfloat16, float16 or int8, without calibration data."""

from collections.abc import Mapping
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

from minilm_jax.config import EncoderConfig, Precision
from minilm_jax.errors import InputError
from minilm_jax.imports import import_completely
from minilm_jax.nn.encoder_params import EncoderParams, config_of
from minilm_jax.nn.inputs import encoder_inputs
from minilm_jax.nn.params import flatten, unflatten
from minilm_jax.nn.settings import device_use, enable_jit
from minilm_jax.tokens.batching import Batch

# int8 weights span [-127, 127].
_LEVELS = 127
# This fraction of a channel's range, from 0 to 1, moves into the kernel. Values from 0.5 to 0.75 are about equally
# good.
_SMOOTHING = 0.6
_ATTENDED = tuple(f".self.{layer}.bias" for layer in ("query", "key", "value"))
# Activations are measured on this many rows and tokens of random ids, which show the same few wide channels as real
# texts.
_SAMPLE = (16, 32)


@device_use()
@enable_jit
def cast(
    params: Mapping[str, Any],
    precision: Precision,
    config: EncoderConfig | None = None,
) -> EncoderParams:
    """Convert params to another precision; `embed` and `encode` accept all of them.

    Args:
        params: Nested dict of float32 arrays.
        precision: One of:

            - "float32": unchanged.
            - "bfloat16", "float16": embeddings and kernels are rounded and multiplied in 16 bits (`SentenceEncoder`
              does so only where that is faster than float32).
            - "int8": the encoder's kernels have 8 bits and one scale per output feature. Activations are quantized
              with one scale and zero point per token, so a text's vector does not depend on other texts. GPUs and
              TPUs multiply in bfloat16, which represents int8 exactly. int8 has no gradients.

            Except in float32, attention multiplies in 16 bits. Sums, softmax and LayerNorm are always float32.
        config: The config that params belong to; by default the one that they carry.

    Returns:
        A new tree, which carries the config. In int8, each encoder kernel is accompanied by `kernel_scale` and
        `kernel_sum`, and each module that follows a LayerNorm by `input_scale`, which equalizes the ranges of its
        channels.

    Raises:
        InputError: The precision is unknown, or params are not float32 or do not fit the config.

    Examples:
        >>> import minilm_jax as mj
        >>> small = mj.cast(mj.load_params(), "int8")
        >>> small["encoder"]["layer"]["0"]["intermediate"]["dense"]["kernel"].dtype
        dtype('int8')
    """
    if precision not in get_args(Precision):
        raise InputError(f"precision is {precision!r}; it must be one of {', '.join(get_args(Precision))}.")
    leaves = flatten(params)
    for path, leaf in leaves.items():
        if leaf.dtype != jnp.float32:
            raise InputError(f"{path} is {leaf.dtype}; cast needs float32 params, as load_params returns them.")
    config = config_of(params, config)
    if precision == "int8":
        leaves |= _smoothed(params, _input_ranges(params, config))
    if precision != "float32":
        leaves = {name: leaf for path in leaves for name, leaf in _cast(path, leaves[path], precision).items()}
    return EncoderParams(unflatten(leaves), config)


def _cast(path: str, leaf: Array, precision: Precision) -> dict[str, Array]:
    name = path.rpartition(".")[2]
    is_integer = precision == "int8" and name == "kernel" and path.startswith("encoder.")
    # Attention multiplies in the dtype of the biases of its projections.
    if path.endswith(_ATTENDED) or (name in ("embedding", "kernel") and not is_integer):
        if precision != "int8":
            return {path: jnp.asarray(leaf, precision)}
        # NumPy rounds, because XLA would compile a program for each shape.
        return {path: jnp.asarray(np.asarray(leaf).astype(jnp.bfloat16))}
    if name != "kernel":
        return {path: leaf}
    kernel = np.asarray(leaf)
    scale = np.maximum(np.abs(kernel).max(axis=0), np.finfo(np.float32).tiny) / _LEVELS
    values = np.rint(kernel / scale).astype(np.int8)
    sums = values.sum(axis=0, dtype=np.int32)
    quantized = {path: values, f"{path}_scale": scale.astype(np.float32), f"{path}_sum": sums}
    return {name: jnp.asarray(array) for name, array in quantized.items()}


def _smoothed(params: Mapping[str, Any], ranges: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """Return `input_scale` for the modules that follow a LayerNorm, and their kernels divided by it."""
    leaves = flatten(params)
    smoothed: dict[str, Any] = {}
    for module, activations in ranges.items():
        kernels = {p: np.asarray(leaves[p]) for p in leaves if p.startswith(f"{module}.") and p.endswith(".kernel")}
        scale = _equalizing_scale(np.asarray(activations), np.abs(np.hstack([*kernels.values()])).max(axis=1))
        smoothed |= {path: kernel / scale[:, None] for path, kernel in kernels.items()}
        smoothed[f"{module}.input_scale"] = jnp.asarray(scale)
    return smoothed


def _input_ranges(params: Mapping[str, Any], config: EncoderConfig) -> dict[str, Array]:
    """Measure the largest magnitude per channel, [D], in the input of every module that follows a LayerNorm."""
    import_completely("minilm_jax.nn.encoder")  # Only int8 needs this module and flax.
    shape = _SAMPLE[0], min(_SAMPLE[1], config.max_length)
    ids = np.random.default_rng(0).integers(config.vocab_size, size=shape).astype(np.int32)
    batch = Batch(ids, np.ones_like(ids))
    hidden = jax.jit(_run_embeddings, static_argnums=2)(params["embeddings"], batch, config)
    # All layers share one program, which compiles in a fraction of the time of the whole encoder.
    run = jax.jit(_run_layer, static_argnums=2)
    inputs: dict[str, Any] = {}
    for index in range(config.num_hidden_layers):
        hidden, entering, attended = run(params["encoder"]["layer"][str(index)], hidden, config)
        inputs[f"encoder.layer.{index}.attention.self"] = entering
        inputs[f"encoder.layer.{index}.intermediate"] = attended
    return inputs


def _run_embeddings(params: Mapping[str, Any], batch: Batch, config: EncoderConfig) -> Any:
    from minilm_jax.nn.encoder import Embeddings

    return Embeddings(config).apply({"params": params}, *encoder_inputs(batch, config)[:3])


def _run_layer(params: Mapping[str, Any], hidden: Array, config: EncoderConfig) -> tuple[Array, Array, Array]:
    """Return the output of a layer, and the ranges of the inputs of its attention and of its feed-forward network."""
    from minilm_jax.nn.encoder import Attention, Layer

    mask = jnp.ones(hidden.shape[:2], bool)
    attended: Any = Attention(config).apply({"params": params["attention"]}, hidden, mask)
    output: Any = Layer(config).apply({"params": params}, hidden, mask)
    return output, jnp.abs(hidden).max(axis=(0, 1)), jnp.abs(attended).max(axis=(0, 1))


def _equalizing_scale(activations: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the factor per channel that balances the ranges of activations and weights."""
    tiny = np.finfo(np.float32).tiny
    scale = np.maximum(weights, tiny) ** (1 - _SMOOTHING) / np.maximum(activations, tiny) ** _SMOOTHING
    return (scale / np.exp(np.log(scale).mean())).astype(np.float32)
