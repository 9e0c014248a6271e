"""What follows the encoder: projections of a sentence vector, a classifier, or the head of a sparse encoder."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from minilm_jax.config.checks import check_choice, check_size, short_repr
from minilm_jax.config.choices import (
    HeadActivation,
    ProjectionActivation,
    ProjectionKind,
    ScoreActivation,
    SparseActivation,
    SparsePooling,
)
from minilm_jax.errors import ModelFileError

# The fields of `EncoderConfig` for heads, which few models have.
HEAD_FIELDS = ("projections", "classifier", "sparse_head")

_CLASSIFIER_SUFFIX = "ForSequenceClassification"
# transformers has this number of labels if config.json does not state it.
_DEFAULT_LABELS = 2
_SCORE_ACTIVATIONS: Mapping[str, ScoreActivation] = {
    "Identity": "identity",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softmax": "softmax",
}


@dataclasses.dataclass(frozen=True)
class Projection:
    """A module between pooling and normalization, as in LaBSE.

    Attributes:
        kind: "dense" for a dense layer, or "layer_norm".
        features: Dimensions of its output.
        activation: The activation after a dense layer.
    """

    kind: ProjectionKind
    features: int
    activation: ProjectionActivation = "identity"

    def __post_init__(self) -> None:
        check_choice("projections: kind", self.kind, get_args(ProjectionKind))
        check_choice("projections: activation", self.activation, get_args(ProjectionActivation))
        check_size("projections: features", self.features)


@dataclasses.dataclass(frozen=True)
class Classifier:
    """The head of a cross-encoder: two dense layers over the first token, which `classify` computes.

    Attributes:
        labels: The name of each output; a reranker has one.
        activation: The activation between the layers: "tanh" in BERT and RoBERTa, "relu" in DistilBERT. In BERT, the
            first layer is the pooler.
        scores: What `CrossEncoder` applies to the logits by default: "identity", "sigmoid", "tanh" or "softmax"; or
            None for "sigmoid" with one label, and "identity" with several, as in sentence-transformers.
    """

    labels: tuple[str, ...]
    activation: HeadActivation = "tanh"
    scores: ScoreActivation | None = None

    def __post_init__(self) -> None:
        check_choice("classifier: activation", self.activation, get_args(HeadActivation))
        if self.scores is not None:
            check_choice("classifier: scores", self.scores, get_args(ScoreActivation))
        is_tuple = isinstance(self.labels, tuple)
        if not is_tuple or not self.labels or not all(isinstance(label, str) for label in self.labels):
            raise ModelFileError(f"config: classifier: labels is {self.labels!r:.60}; it must be one name or several.")

    @property
    def score_activation(self) -> ScoreActivation:
        """What is applied to the logits by default."""
        return self.scores or ("sigmoid" if len(self.labels) == 1 else "identity")


@dataclasses.dataclass(frozen=True)
class SparseHead:
    """The head of a SPLADE encoder, which `embed_sparse` computes: the logits of BERT's language model, pooled.

    Attributes:
        pooling: "max" or "sum" over the tokens of a text.
        activation: "relu" for log(1 + relu(logit)), or "log1p_relu" to apply log(1 + x) twice.
    """

    pooling: SparsePooling = "max"
    activation: SparseActivation = "relu"

    def __post_init__(self) -> None:
        check_choice("sparse_head: pooling", self.pooling, get_args(SparsePooling))
        check_choice("sparse_head: activation", self.activation, get_args(SparseActivation))


def heads_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `EncoderConfig` for heads that a `config.json` states.

    Args:
        values: The parsed JSON object; as transformers writes it, or as `EncoderConfig.to_dict` does.

    Raises:
        ModelFileError: A field has a value that is not implemented.
    """
    heads: dict[str, Any] = {}
    if "projections" in values:
        heads["projections"] = _projections(values["projections"])
    if values.get("classifier") is not None:
        heads["classifier"] = _read("classifier", Classifier, values["classifier"])
    elif any(str(name).endswith(_CLASSIFIER_SUFFIX) for name in _list(values.get("architectures"))):
        heads["classifier"] = _classifier(values)
    if values.get("sparse_head") is not None:
        heads["sparse_head"] = _read("sparse_head", SparseHead, values["sparse_head"])
    return heads


def score_activation(name: Any) -> ScoreActivation:
    """Return our name for a class of torch, such as "torch.nn.modules.activation.Sigmoid".

    Raises:
        ModelFileError: It is not implemented.
    """
    package, _, kind = str(name).rpartition(".")
    if package.partition(".")[0] != "torch" or kind not in _SCORE_ACTIVATIONS:
        known = ", ".join(f"torch.nn.{known}" for known in _SCORE_ACTIVATIONS)
        raise ModelFileError(f"config: activation_fn is {short_repr(name)}; implemented: {known}.")
    return _SCORE_ACTIVATIONS[kind]


def torch_activation(name: ScoreActivation) -> str:
    """Return the name of a class of torch, the inverse of `score_activation`."""
    module = "linear" if name == "identity" else "activation"
    return f"torch.nn.modules.{module}.{name.capitalize()}"


def _classifier(values: Mapping[str, Any]) -> Classifier:
    # The first key is that of sentence-transformers since version 4.
    settings = values.get("sentence_transformers")
    stated = settings.get("activation_fn") if isinstance(settings, Mapping) else None
    stated = stated or values.get("sbert_ce_default_activation_function")
    activation = "relu" if values.get("model_type") == "distilbert" else "tanh"
    return Classifier(_labels(values), activation, score_activation(stated) if stated else None)


def _labels(values: Mapping[str, Any]) -> tuple[str, ...]:
    names = values.get("id2label")
    if not names:
        count = values.get("num_labels", _DEFAULT_LABELS)
        check_size("num_labels", count, 1_000_000)
        return tuple(f"LABEL_{index}" for index in range(count))
    if not isinstance(names, Mapping) or {*map(str, names)} != {*map(str, range(len(names)))}:
        raise ModelFileError(f"config: id2label is {names!r:.60}; it must name the labels 0, 1, 2, ….")
    return tuple(str(names[key]) for key in sorted(names, key=int))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _projections(values: Any) -> tuple[Projection, ...]:
    try:
        return tuple(Projection(**value) for value in values)
    except TypeError:
        raise ModelFileError(f"config: projections is {values!r:.200}; it must be a list of projections.") from None


def _read(name: str, kind: type[Any], value: Any) -> Any:
    try:
        return kind(**{field: tuple(own) if isinstance(own, list) else own for field, own in value.items()})
    except (TypeError, AttributeError):
        fields = ", ".join(field.name for field in dataclasses.fields(kind))
        raise ModelFileError(f"config: {name} is {value!r:.200}; it must be an object with {fields}.") from None
