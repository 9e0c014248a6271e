"""Names of the weights of heads in checkpoints: classifiers and language models of BERT, RoBERTa and DistilBERT."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.config import EncoderConfig
from minilm_jax.errors import ModelFileError

_log = logging.getLogger("minilm_jax")
_Tensors = dict[str, NDArray[Any]]

# Heads of pretraining do not affect embeddings, so they are dropped, as AutoModel of transformers does.
_PRETRAINING = ("cls.", "lm_head.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector.")
_CLASSIFIERS = ("classifier.", "pre_classifier.")
HEAD_NAMES = (*_PRETRAINING, *_CLASSIFIERS, "qa_outputs.", "score.")

# In BERT, the first layer of a classifier is the pooler.
_CLASSIFIER = {
    "bert": {"classifier.": "classifier."},
    "roberta": {"classifier.dense.": "pooler.dense.", "classifier.out_proj.": "classifier."},
    "distilbert": {"pre_classifier.": "pooler.dense.", "classifier.": "classifier."},
}
_LANGUAGE_MODEL = {
    "bert": {"cls.predictions.": "predictions."},
    "roberta": {
        "lm_head.dense.": "predictions.transform.dense.",
        "lm_head.layer_norm.": "predictions.transform.LayerNorm.",
        "lm_head.": "predictions.",
    },
    "distilbert": {
        "vocab_transform.": "predictions.transform.dense.",
        "vocab_layer_norm.": "predictions.transform.LayerNorm.",
        "vocab_projector.": "predictions.decoder.",
    },
}
# The table of the logits is that of the words, and has a bias, which is stored once or twice.
_TABLE, _BIAS, _SAME_BIAS = "predictions.decoder.weight", "predictions.bias", "predictions.decoder.bias"


def head_from_hub(tensors: Mapping[str, NDArray[Any]], words: Any, config: EncoderConfig | None) -> _Tensors:
    """Return the tensors of the head that a config has, with names as in BERT.

    Args:
        tensors: The tensors of a checkpoint with `HEAD_NAMES`.
        words: The table of the word embeddings, or None if the checkpoint has none.
        config: The config of the model, or None if it has no head. Without a sparse head, that of pretraining is
            dropped, which is logged.

    Raises:
        ModelFileError: The checkpoint has another head than the config.
    """
    pretraining = {name: tensor for name, tensor in tensors.items() if name.startswith(_PRETRAINING)}
    others = {name: tensor for name, tensor in tensors.items() if name not in pretraining}
    if config is not None and config.classifier is not None:
        renamed = _renamed(others, _classifier_names(others))
    elif others:
        raise ModelFileError(
            f"it contains {next(iter(others)):.60}: the head of another task, which is not read. CrossEncoder loads"
            " classifiers, from a folder with the config.json of one; otherwise, pass the encoder without the head."
        )
    elif config is not None and config.sparse_head is not None:
        return _language_model(pretraining, words)
    else:
        renamed = {}
    if pretraining:
        count, name = len(pretraining), min(pretraining)
        _log.warning("the weights of a pretraining head are not used (%d tensors, such as %s)", count, name)
    return renamed


def architecture_of(config: EncoderConfig) -> str:
    """Return the `model_type` of the transformers class that computes a model: bert, roberta or distilbert."""
    if config.classifier is not None and config.classifier.activation == "relu":
        return "distilbert"
    return "bert" if config.padding_idx is None else "roberta"


def head_to_hub(tensors: _Tensors, config: EncoderConfig) -> _Tensors:
    """Rename all tensors of a model with a head as its class in transformers does; the inverse of `head_from_hub`.

    Args:
        tensors: Tensors with the names of the architecture, without prefix; those of the head as in BERT.
        config: The config of the model, with a head.
    """
    architecture = architecture_of(config)
    names = (_CLASSIFIER if config.classifier is not None else _LANGUAGE_MODEL)[architecture]
    renamed = {}
    for name, tensor in tensors.items():
        pairs = ((theirs, ours) for theirs, ours in names.items() if name.startswith(ours))
        theirs, ours = next(pairs, (f"{architecture}.", ""))
        renamed[theirs + name.removeprefix(ours)] = tensor
    return renamed


def _classifier_names(tensors: Mapping[str, Any]) -> Mapping[str, str]:
    if any(name.startswith("pre_classifier.") for name in tensors):
        return _CLASSIFIER["distilbert"]
    return _CLASSIFIER["roberta" if any(name.startswith("classifier.dense.") for name in tensors) else "bert"]


def _language_model(tensors: Mapping[str, NDArray[Any]], words: Any) -> _Tensors:
    names = {theirs: ours for each in _LANGUAGE_MODEL.values() for theirs, ours in each.items()}
    # Some checkpoints also have BERT's classifier of sentence pairs, which no task uses.
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith("cls.seq_relationship.")}
    found = _renamed(own, names)
    if not found:
        raise ModelFileError("it contains no language model, which a sparse encoder needs.")
    for name, same in ((_TABLE, words), (_SAME_BIAS, found.get(_BIAS))):
        copy = found.pop(name, None)
        if name == _SAME_BIAS and copy is not None:
            found.setdefault(_BIAS, copy)
        if copy is not None and same is not None and not np.array_equal(copy, same):
            raise ModelFileError(f"{name} differs from the weights that it should share, which is not implemented.")
    return found


def _renamed(tensors: Mapping[str, NDArray[Any]], names: Mapping[str, str]) -> _Tensors:
    renamed: _Tensors = {}
    for name, tensor in tensors.items():
        theirs = next((theirs for theirs in names if name.startswith(theirs)), None)
        if theirs is None:
            raise ModelFileError(f"it contains {name:.60}, which is not part of a head that is implemented.")
        renamed[names[theirs] + name.removeprefix(theirs)] = tensor
    return renamed
