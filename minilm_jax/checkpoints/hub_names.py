"""Names and orientation of weights in PyTorch checkpoints on the hub, and their paths in the parameter tree."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.checkpoints.head_names import HEAD_NAMES, architecture_of, head_from_hub, head_to_hub
from minilm_jax.config import EncoderConfig
from minilm_jax.nn.params import flatten

# A checkpoint of a model with a head has one of these prefixes before the names of the encoder.
_PREFIXES = ("bert.", "roberta.", "distilbert.")
# Older checkpoints contain these buffers in addition to the weights; they are not parameters.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# Some checkpoints use TensorFlow's names for the weights of a LayerNorm.
_TENSORFLOW_NAMES = {"gamma": "weight", "beta": "bias"}
_TORCH_NAMES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}
_DISTILBERT_NAMES = (
    ("transformer.layer.", "encoder.layer."),
    (".attention.q_lin.", ".attention.self.query."),
    (".attention.k_lin.", ".attention.self.key."),
    (".attention.v_lin.", ".attention.self.value."),
    (".attention.out_lin.", ".attention.output.dense."),
    (".sa_layer_norm.", ".attention.output.LayerNorm."),
    (".ffn.lin1.", ".intermediate.dense."),
    (".ffn.lin2.", ".output.dense."),
    (".output_layer_norm.", ".output.LayerNorm."),
)
_TOKEN_TYPES = "embeddings.token_type_embeddings.embedding"
_WORDS = "embeddings.word_embeddings.embedding"
_TORCH_WORDS = "embeddings.word_embeddings.weight"
_TORCH_POSITIONS = "embeddings.position_embeddings.weight"
_TORCH_TYPES = "embeddings.token_type_embeddings.weight"


def from_hub(tensors: Mapping[str, NDArray[Any]], config: EncoderConfig | None = None) -> dict[str, NDArray[Any]]:
    """Rename a checkpoint's tensors to paths in the parameter tree; `nn.Linear` weights are transposed to [in, out].

    Args:
        tensors: The contents of a `model.safetensors` of BERT, RoBERTa or DistilBERT.
        config: The config of the model; its head is read. Without a head, that of pretraining is dropped, which is
            logged.

    Returns:
        C-contiguous arrays by their paths.

    Raises:
        ModelFileError: The checkpoint has another head than the config.
        ValueError: Two tensors have the same path.
    """
    leaves: dict[str, NDArray[Any]] = {}
    for name, tensor in _renamed(tensors, config).items():
        path = _flax_path(name)
        if path in leaves:
            raise ValueError(f"two tensors have the path {path:.200}")
        leaves[path] = np.ascontiguousarray(tensor.T if path.endswith(".kernel") else tensor)
    if any(".q_lin." in name for name in tensors) and _WORDS in leaves:
        # DistilBERT has no token types, which is the same as one token type whose embedding is zero.
        leaves.setdefault(_TOKEN_TYPES, np.zeros((1, leaves[_WORDS].shape[-1]), leaves[_WORDS].dtype))
    return leaves


def _renamed(tensors: Mapping[str, NDArray[Any]], config: EncoderConfig | None) -> dict[str, NDArray[Any]]:
    """Return the tensors by their names in BERT, without prefix."""
    named: dict[str, NDArray[Any]] = {}
    for full_name in [name for name in tensors if not name.startswith(HEAD_NAMES)]:
        name = full_name
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if name in named:
            raise ValueError(f"two tensors are named {name:.200}")
        if name not in _BUFFERS:
            named[name] = tensors[full_name]
    head = {name: tensor for name, tensor in tensors.items() if name.startswith(HEAD_NAMES)}
    return named | head_from_hub(head, named.get(_TORCH_WORDS), config)


def to_hub(params: Mapping[str, Any], config: EncoderConfig | None = None) -> dict[str, NDArray[Any]]:
    """Rename the leaves of a parameter tree to the tensors of a checkpoint; the inverse of `from_hub`.

    Args:
        params: The parameter tree.
        config: Its config; if it has a head, the names are those of a model with this head.
    """
    tensors = {}
    for path, leaf in flatten(params).items():
        parent, _, name = path.rpartition(".")
        # safetensors silently writes wrong values for arrays that are not C-contiguous.
        tensors[f"{parent}.{_TORCH_NAMES[name]}"] = np.ascontiguousarray(
            np.asarray(leaf).T if name == "kernel" else leaf
        )
    if config is None or (config.classifier is None and config.sparse_head is None):
        return tensors
    return head_to_hub(_distilbert(tensors) if architecture_of(config) == "distilbert" else tensors, config)


def _distilbert(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Rename the tensors of an encoder with one token type; its embedding is added to those of the positions."""
    tensors, renamed = dict(tensors), {}
    tensors[_TORCH_POSITIONS] = tensors[_TORCH_POSITIONS] + tensors.pop(_TORCH_TYPES)
    for path, tensor in tensors.items():
        name = path
        for theirs, ours in _DISTILBERT_NAMES:
            name = name.replace(ours, theirs, 1)
        renamed[name] = tensor
    return renamed


def _flax_path(name: str) -> str:
    for theirs, ours in _DISTILBERT_NAMES:
        name = name.replace(theirs, ours, 1)
    parent, _, leaf = name.rpartition(".")
    leaf = _TENSORFLOW_NAMES.get(leaf, leaf)
    if leaf != "weight":
        return f"{parent}.{leaf}" if parent else leaf
    if parent.endswith("_embeddings"):
        return f"{parent}.embedding"
    return f"{parent}.scale" if parent.endswith("LayerNorm") else f"{parent}.kernel"
