"""Which params are trained: all, all but the frozen ones, or low-rank updates of the kernels."""

import abc
import fnmatch
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.nn.encoder_params import EncoderParams
from minilm_jax.nn.params import flatten, unflatten
from minilm_jax.training.options import TrainingOptions

Leaves = Mapping[str, Array]


class Parts(abc.ABC):
    """The division of a parameter tree into trained and fixed arrays.

    Attributes:
        trained: The arrays at the start of training, by path.
        fixed: The other arrays, by path.
    """

    def __init__(self, params: EncoderParams) -> None:
        """Remember the config of the params."""
        self._config = params.config
        self.trained: dict[str, Any] = {}
        self.fixed: dict[str, Array] = {}

    def merge(self, trained: Mapping[str, Any], fixed: Leaves) -> EncoderParams:
        """Return the whole parameter tree, for computation and for the trained model."""
        return EncoderParams(unflatten(self._merged(trained, fixed)), self._config)

    @abc.abstractmethod
    def _merged(self, trained: Mapping[str, Any], fixed: Leaves) -> dict[str, Array]: ...


class Whole(Parts):
    """Training of all params that no pattern freezes."""

    def __init__(self, params: EncoderParams, freeze: tuple[str, ...]) -> None:
        """Divide the params; raises InputError if a pattern matches none of them, or if all are frozen."""
        super().__init__(params)
        leaves = flatten(params)
        frozen = _matching(leaves, freeze)
        # embed does not use the pooler, so its gradient would be zero.
        if params.config.classifier is None:
            frozen |= _matching(leaves, ("pooler.*",)) if "pooler" in params else set()
        self.trained = {path: leaf for path, leaf in leaves.items() if path not in frozen}
        self.fixed = {path: leaf for path, leaf in leaves.items() if path in frozen}
        if not self.trained:
            raise InputError("all params are frozen; leave some of them for training.")

    def _merged(self, trained: Mapping[str, Any], fixed: Leaves) -> dict[str, Array]:
        return {**fixed, **trained}


class LowRank(Parts):
    """Training of an update a · b for each dense kernel (LoRA, Hu et al., 2021), and of a classifier."""

    def __init__(self, params: EncoderParams, rank: int, alpha: float, freeze: tuple[str, ...], seed: int) -> None:
        """Draw a at random; b starts at zero, so that the model is the same at first."""
        super().__init__(params)
        self.fixed, self._scale = flatten(params), alpha / rank
        frozen = _matching(self.fixed, freeze)
        kernels = [path for path in self.fixed if path.startswith("encoder.") and path.endswith(".kernel")]
        keys = jax.random.split(jax.random.key(seed), len(kernels))
        for key, path in zip(keys, kernels, strict=True):
            if path not in frozen:
                rows, columns = self.fixed[path].shape
                bound = rows**-0.5  # The default of torch's linear layers, as in the paper's code.
                drawn = jax.random.uniform(key, (rows, rank), jnp.float32, -bound, bound)
                self.trained[path] = {"a": drawn, "b": jnp.zeros((rank, columns), jnp.float32)}
        heads = [path for path in self.fixed if path.startswith(("classifier.", "projections."))]
        self.trained |= {path: self.fixed.pop(path) for path in heads if path not in frozen}

    def _merged(self, trained: Mapping[str, Any], fixed: Leaves) -> dict[str, Array]:
        merged = dict(fixed)
        for path, leaf in trained.items():
            merged[path] = fixed[path] + self._update(leaf) if isinstance(leaf, Mapping) else leaf
        return merged

    def _update(self, pair: Mapping[str, Array]) -> Array:
        return self._scale * jnp.matmul(pair["a"], pair["b"], precision=lax.Precision.HIGHEST)


def divide(params: EncoderParams, options: TrainingOptions) -> Parts:
    """Divide params into trained and fixed ones.

    Raises:
        InputError: A pattern of `freeze` matches no params, or nothing is left to train.
    """
    if options.lora_rank:
        return LowRank(params, options.lora_rank, options.lora_alpha, options.freeze, options.seed)
    return Whole(params, options.freeze)


def _matching(leaves: Mapping[str, Any], patterns: tuple[str, ...]) -> set[str]:
    found = {pattern: fnmatch.filter(leaves, pattern) for pattern in patterns}
    if unused := next((pattern for pattern, paths in found.items() if not paths), None):
        raise InputError(f"freeze: no params match {unused!r}.{did_you_mean(unused, leaves)}")
    return {path for paths in found.values() for path in paths}
