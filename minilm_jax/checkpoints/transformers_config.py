"""The `config.json` of the transformers class that computes a model."""

from typing import Any

from minilm_jax.checkpoints.head_names import architecture_of
from minilm_jax.config import Classifier, EncoderConfig
from minilm_jax.config.heads import HEAD_FIELDS, torch_activation
from minilm_jax.errors import InputError

_CLASSES = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}
_DISTILBERT_NAMES = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "max_position_embeddings",
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "classifier_dropout": "seq_classif_dropout",
}
# DistilBERT has these values, which its config.json does not state.
_DISTILBERT_VALUES = {"type_vocab_size": 1, "layer_norm_eps": 1e-12, "padding_idx": None}


def transformers_config(config: EncoderConfig) -> dict[str, Any]:
    """Return the content of `config.json`.

    Args:
        config: The config of a model with or without a head.

    Raises:
        InputError: No class of transformers computes the model.
    """
    architecture = architecture_of(config)
    dropped = ("pooling", "normalize", *HEAD_FIELDS)
    network = {name: value for name, value in config.to_dict().items() if name not in dropped}
    if architecture == "distilbert":
        network = _distilbert(config)
    head = {"classifier": "ForSequenceClassification", "sparse_head": "ForMaskedLM"}
    suffix = next((name for field, name in head.items() if getattr(config, field) is not None), "Model")
    classifier = {} if config.classifier is None else _labels(config.classifier)
    return {"architectures": [_CLASSES[architecture] + suffix], "pad_token_id": 0, **network, **classifier}


def _labels(classifier: Classifier) -> dict[str, Any]:
    names = dict(enumerate(classifier.labels))
    return {
        "id2label": {str(index): name for index, name in names.items()},
        "label2id": {name: index for index, name in names.items()},
        "sentence_transformers": {"activation_fn": torch_activation(classifier.score_activation)},
    }


def _distilbert(config: EncoderConfig) -> dict[str, Any]:
    for name, value in _DISTILBERT_VALUES.items():
        if getattr(config, name) != value:
            raise InputError(
                f"no class of transformers has a classifier with relu and {name}={getattr(config, name)!r}; save the"
                " params with mj.save_params."
            )
    return {"model_type": "distilbert", **{theirs: getattr(config, ours) for ours, theirs in _DISTILBERT_NAMES.items()}}
