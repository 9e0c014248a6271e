"""Translation of a Hugging Face `config.json` to the fields of `EncoderConfig`, for each supported architecture."""

from collections.abc import Mapping
from typing import Any

from minilm_jax.errors import ModelFileError

# RoBERTa counts positions from the id of its padding token, which is 1 if config.json does not state it.
_ROBERTA = ("roberta", "xlm-roberta", "camembert")
_ROBERTA_PADDING = 1
ARCHITECTURES = ("bert", *_ROBERTA, "distilbert")

# If a config.json has one of these fields, it must have the value that this encoder implements.
_REQUIRED_IF_PRESENT: Mapping[str, Any] = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
_REQUIRED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_DISTILBERT_NAMES = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "activation": "hidden_act",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "seq_classif_dropout": "classifier_dropout",
}
# transformers has several names for the same function.
_ACTIVATIONS = {
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_fast": "gelu_new",
    "gelu_python_tanh": "gelu_new",
}


def encoder_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `config.json` by the names of `EncoderConfig`; fields that it does not know remain.

    Args:
        values: The parsed JSON object.

    Returns:
        The fields of a BERT encoder that computes the same.

    Raises:
        ModelFileError: The architecture, or a setting of it, is not implemented, or a size is missing.
    """
    architecture = values.get("model_type", "bert")
    if architecture not in ARCHITECTURES:
        raise ModelFileError(
            f"config: model_type is {architecture!r:.60}, but only {', '.join(ARCHITECTURES)} are implemented."
        )
    for name, required in _REQUIRED_IF_PRESENT.items():
        if values.get(name, required) != required:
            raise ModelFileError(f"config: {name} is {values[name]!r:.60}, but only {required!r} is implemented.")
    fields = _distilbert(values) if architecture == "distilbert" else dict(values)
    if architecture in _ROBERTA:
        fields["padding_idx"] = values.get("pad_token_id", _ROBERTA_PADDING)
    if isinstance(activation := fields.get("hidden_act"), str):
        fields["hidden_act"] = _ACTIVATIONS.get(activation, activation)
    if missing := [name for name in _REQUIRED if name not in fields]:
        raise ModelFileError(f"config: {', '.join(missing)} missing; is this the model's config.json?")
    return fields


def _distilbert(values: Mapping[str, Any]) -> dict[str, Any]:
    # DistilBERT is BERT without token types, which is the same as one token type whose embedding is zero.
    renamed = {_DISTILBERT_NAMES.get(name, name): value for name, value in values.items()}
    return renamed | {"type_vocab_size": 1, "layer_norm_eps": 1e-12}
