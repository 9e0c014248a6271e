"""The parameter tree: its leaves, paths, and a strict check against a config."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minilm_jax.config import EncoderConfig
from minilm_jax.errors import ModelFileError

Params = dict[str, Any]

_MAX_LINES = 40


def abstract(config: EncoderConfig, *, pooler: bool = True) -> Params:
    """Describe every parameter of a model.

    Args:
        config: The encoder's config.
        pooler: Whether to include BERT's pooler, which models with a classifier always have.

    Returns:
        The tree, with a float32 `jax.ShapeDtypeStruct` for each leaf.
    """
    width, wide = config.hidden_size, config.intermediate_size
    tree = {
        "embeddings": {
            "word_embeddings": {"embedding": _leaf(config.vocab_size, width)},
            "position_embeddings": {"embedding": _leaf(config.max_position_embeddings, width)},
            "token_type_embeddings": {"embedding": _leaf(config.type_vocab_size, width)},
            "LayerNorm": _layer_norm(width),
        },
        "encoder": {"layer": {str(i): _layer(width, wide) for i in range(config.num_hidden_layers)}},
    }
    if pooler or config.classifier:
        tree |= {"pooler": {"dense": _dense(width, width)}}
    if config.classifier:
        tree |= {"classifier": _dense(width, len(config.classifier.labels))}
    if config.sparse_head:
        transform = {"dense": _dense(width, width), "LayerNorm": _layer_norm(width)}
        tree |= {"predictions": {"transform": transform, "bias": _leaf(config.vocab_size)}}
    return tree | ({"projections": _projections(config)} if config.projections else {})


def _projections(config: EncoderConfig) -> Params:
    sizes = [config.pooled_size, *(projection.features for projection in config.projections)]
    return {
        str(index): {"dense": _dense(sizes[index], projection.features)}
        if projection.kind == "dense"
        else {"LayerNorm": _layer_norm(projection.features)}
        for index, projection in enumerate(config.projections)
    }


def _layer(width: int, wide: int) -> Params:
    return {
        "attention": {
            "self": {name: _dense(width, width) for name in ("query", "key", "value")},
            "output": {"dense": _dense(width, width), "LayerNorm": _layer_norm(width)},
        },
        "intermediate": {"dense": _dense(width, wide)},
        "output": {"dense": _dense(wide, width), "LayerNorm": _layer_norm(width)},
    }


def _dense(features_in: int, features_out: int) -> Params:
    return {"kernel": _leaf(features_in, features_out), "bias": _leaf(features_out)}


def _layer_norm(features: int) -> Params:
    return {"scale": _leaf(features), "bias": _leaf(features)}


def _leaf(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a nested tree by their paths, such as `encoder.layer.0.output.dense.kernel`."""
    return dict(_paths(params, prefix))


def _paths(params: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def unflatten(leaves: Mapping[str, Any]) -> Params:
    """Return the nested tree of a flat dict, the inverse of `flatten`; raises ModelFileError if paths conflict."""
    tree: Params = {}
    for path, leaf in leaves.items():
        *parents, name = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ModelFileError(f"{path:.200} is inside another leaf; download or convert the file again.")
        if name in node:
            raise ModelFileError(f"{path:.200} contains another leaf; download or convert the file again.")
        node[name] = leaf
    return tree


def check(params: Mapping[str, Any], config: EncoderConfig) -> None:
    """Check that a tree has exactly the leaves that its config implies; without a classifier, the pooler is optional.

    Args:
        params: Nested dict of arrays.
        config: The config that params should fit.

    Raises:
        ModelFileError: Leaves are missing (`-`), unexpected (`+`), or have another shape or dtype (`!`).
    """
    expected = flatten(abstract(config, pooler="pooler" in params))
    found = flatten(params)
    lines = [f"- {path} {expected[path].shape}" for path in expected.keys() - found.keys()]
    lines += [f"+ {path} {np.shape(found[path])}" for path in found.keys() - expected.keys()]
    for path in expected.keys() & found.keys():
        shape, dtype = np.shape(found[path]), getattr(found[path], "dtype", type(found[path]))
        if shape != expected[path].shape or dtype != expected[path].dtype:
            lines.append(f"! {path} is {dtype}{list(shape)}, not {expected[path].dtype}{list(expected[path].shape)}")
    if lines:
        shown = sorted(lines)[:_MAX_LINES] + [f"… and {len(lines) - _MAX_LINES} more"] * (len(lines) > _MAX_LINES)
        raise ModelFileError(
            "the params do not fit the config; does it belong to another model?\n  " + "\n  ".join(shown)
        )
