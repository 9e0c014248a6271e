"""Names and orientation of weights in PyTorch checkpoints on the hub, and their paths in the parameter tree."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import ModelFileError
from minilm_jax.nn.params import flatten

_log = logging.getLogger("minilm_jax")
# A checkpoint of a model with a head has one of these prefixes before the names of the encoder.
_PREFIXES = ("bert.", "roberta.", "distilbert.")
# Older checkpoints contain these buffers in addition to the weights; they are not parameters.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# Heads of pretraining do not affect embeddings, so they are dropped, as AutoModel of transformers does.
_PRETRAINING_HEADS = ("cls.", "lm_head.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector.")
_TASK_HEADS = ("classifier.", "pre_classifier.", "qa_outputs.", "score.")
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


def from_hub(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Rename a checkpoint's tensors to paths in the parameter tree; `nn.Linear` weights are transposed to [in, out].

    Args:
        tensors: The contents of a `model.safetensors` of BERT, RoBERTa or DistilBERT. Heads of pretraining are dropped,
            which is logged.

    Returns:
        C-contiguous arrays by their paths.

    Raises:
        ModelFileError: The checkpoint has a head for another task.
        ValueError: Two tensors have the same path.
    """
    leaves: dict[str, NDArray[Any]] = {}
    for name, tensor in _encoder_tensors(tensors).items():
        path = _flax_path(name)
        if path in leaves:
            raise ValueError(f"two tensors have the path {path:.200}")
        leaves[path] = np.ascontiguousarray(tensor.T if path.endswith(".kernel") else tensor)
    if any(".q_lin." in name for name in tensors) and _WORDS in leaves:
        # DistilBERT has no token types, which is the same as one token type whose embedding is zero.
        leaves.setdefault(_TOKEN_TYPES, np.zeros((1, leaves[_WORDS].shape[-1]), leaves[_WORDS].dtype))
    return leaves


def _encoder_tensors(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the tensors of the encoder by their names without prefix."""
    if head := next((name for name in tensors if name.startswith(_TASK_HEADS)), None):
        raise ModelFileError(
            f"it contains {head:.60}: a classification head, which is not supported. Pass the encoder without the head."
        )
    if dropped := sorted(name for name in tensors if name.startswith(_PRETRAINING_HEADS)):
        _log.warning(
            "the weights of a pretraining head are not used (%d tensors, such as %s)", len(dropped), dropped[0]
        )
    named: dict[str, NDArray[Any]] = {}
    for full_name in tensors.keys() - set(dropped):
        name = full_name
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if name in named:
            raise ValueError(f"two tensors are named {name:.200}")
        if name not in _BUFFERS:
            named[name] = tensors[full_name]
    return named


def to_hub(params: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Rename the leaves of a parameter tree to the tensors of a checkpoint; the inverse of `from_hub`."""
    tensors = {}
    for path, leaf in flatten(params).items():
        parent, _, name = path.rpartition(".")
        # safetensors silently writes wrong values for arrays that are not C-contiguous.
        tensors[f"{parent}.{_TORCH_NAMES[name]}"] = np.ascontiguousarray(
            np.asarray(leaf).T if name == "kernel" else leaf
        )
    return tensors


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
