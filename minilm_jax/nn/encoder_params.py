"""`EncoderParams`: a parameter tree that carries the config of its model; random ones; and the config of any tree."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import export

from minilm_jax.config import ALL_MINILM_L6_V2, EncoderConfig
from minilm_jax.errors import InputError
from minilm_jax.nn.params import abstract, flatten, unflatten
from minilm_jax.nn.settings import device_use


@jax.tree_util.register_pytree_with_keys_class
class EncoderParams(dict[str, Any]):
    """Parameter tree of an encoder, a nested dict of arrays, with the config of its model.

    The config is a static part of the pytree: it survives `jax.tree.map`, `jax.grad`, `jax.device_put` and optax, and a
    jitted function is compiled again for another config. `embed` and `encode` use it if no config is passed.

    Attributes:
        config: The config of the encoder.
    """

    def __init__(self, tree: Mapping[str, Any], config: EncoderConfig) -> None:
        """Combine a tree and its config, which are not checked.

        Args:
            tree: Nested dict of arrays, see `minilm_jax.init_params`.
            config: The encoder's config.
        """
        super().__init__(tree)
        self.config = config

    def __or__(self, other: Any) -> Self:
        """Return a tree with the entries of both, and this config."""
        return type(self)({**self, **other}, self.config)

    def copy(self) -> Self:
        """Return a shallow copy."""
        return type(self)(self, self.config)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self), self.config)

    def tree_flatten_with_keys(self) -> tuple[Iterable[Any], tuple[Any, ...]]:
        """Return the entries with their keys, and the static part, as jax needs them."""
        keys = sorted(self)
        return [(jax.tree_util.DictKey(key), self[key]) for key in keys], (tuple(keys), self.config)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], children: Iterable[Any]) -> Self:
        """Return the tree with these entries."""
        keys, config = static
        return cls(dict(zip(keys, children, strict=True)), config)


@device_use()
def init_params(config: EncoderConfig, key: jax.Array, *, pooler: bool = True) -> EncoderParams:
    """Draw random parameters as BERT does: normal with standard deviation 0.02, biases 0, scales 1.

    Args:
        config: The encoder's config.
        key: A `jax.random.key`.
        pooler: Whether to include the pooler.

    Returns:
        A tree of float32 arrays, which carries the config.
    """
    leaves = flatten(abstract(config, pooler=pooler))
    draw: dict[str, Callable[[jax.Array, tuple[int, ...]], jax.Array]] = {
        "bias": lambda _, shape: jnp.zeros(shape, jnp.float32),
        "scale": lambda _, shape: jnp.ones(shape, jnp.float32),
    }
    normal = jax.nn.initializers.normal(0.02, jnp.float32)
    keys = jax.random.split(key, len(leaves))
    drawn = {
        p: draw.get(p.rpartition(".")[2], normal)(k, leaf.shape)
        for k, (p, leaf) in zip(keys, leaves.items(), strict=True)
    }
    return EncoderParams(unflatten(drawn), config)


def config_of(params: Any, config: EncoderConfig | None = None) -> EncoderConfig:
    """Return the config to compute with.

    Args:
        params: The parameter tree, in any precision.
        config: An explicit config, which takes precedence over the one that params carry.

    Returns:
        The config; for a plain tree without a config, that of all-MiniLM-L6-v2.

    Raises:
        InputError: The tree does not have the layers and sizes of the config.
    """
    if not isinstance(params, Mapping):
        raise InputError(f"params is {type(params).__name__}; pass the nested dict of arrays that load_params returns.")
    chosen = config or getattr(params, "config", None)
    if mismatch := _mismatch(params, chosen or ALL_MINILM_L6_V2):
        if chosen:
            raise InputError(f"params do not fit the config: {mismatch}. Pass the config of the model of these params.")
        raise InputError(
            f"params carry no config, and are not those of all-MiniLM-L6-v2: {mismatch}. Pass config=…, for example"
            " mj.load_config(folder), or use the params that load_params returns."
        )
    return chosen or ALL_MINILM_L6_V2


def _mismatch(params: Mapping[str, Any], config: EncoderConfig) -> str:
    """Return the first difference between the sizes of a tree and its config, or "" if there is none."""
    leaves = flatten(params)
    layers = {path.split(".")[2] for path in leaves if path.startswith("encoder.layer.")}
    if len(layers) != config.num_hidden_layers:
        return f"{len(layers)} layers instead of {config.num_hidden_layers}"
    for path, leaf in flatten(abstract(config, pooler=False)).items():
        # Query, key and value may be concatenated, see `minilm_jax.nn.cpu_params`.
        if path not in leaves and ".attention.self." not in path:
            return f"{path} is missing"
        if path in leaves and tuple(leaves[path].shape) != leaf.shape:
            return f"{path} has the shape {list(leaves[path].shape)} instead of {list(leaf.shape)}"
    return ""


def _to_json(config: EncoderConfig) -> bytes:
    return json.dumps([config.to_dict(), config.attention_implementation]).encode()


def _from_json(data: bytes) -> EncoderConfig:
    values, implementation = json.loads(data)
    return dataclasses.replace(EncoderConfig.from_dict(values), attention_implementation=implementation)


# `jax.export` stores the types of a program's arguments by these names.
export.register_pytree_node_serialization(
    EncoderParams,
    serialized_name="minilm_jax.EncoderParams",
    serialize_auxdata=lambda static: json.dumps([static[0], _to_json(static[1]).decode()]).encode(),
    deserialize_auxdata=lambda data: (tuple(json.loads(data)[0]), _from_json(json.loads(data)[1].encode())),
)
export.register_pytree_node_serialization(
    EncoderConfig,
    serialized_name="minilm_jax.EncoderConfig",
    serialize_auxdata=_to_json,
    deserialize_auxdata=_from_json,
)
