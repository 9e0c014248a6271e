"""`EncoderConfig`: the sizes and pooling of an encoder, checked; it reads no files."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast, get_args

import jax

from minilm_jax.config.architectures import encoder_fields
from minilm_jax.config.checks import MAX_SIZE, check_choice, check_probability, check_size, short_repr
from minilm_jax.config.choices import Activation, AttentionImplementation, PoolingMode
from minilm_jax.config.heads import HEAD_FIELDS, Classifier, Projection, SparseHead, heads_of
from minilm_jax.errors import ModelFileError

# This limit is far above any real model; a larger value indicates a damaged file.
_MAX_LAYERS = 1_000
# These fields affect training only.
DROPOUT_FIELDS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes of a BERT encoder, and its pooling or its head.

    Hashable, and a pytree without leaves: `jax.jit` takes it as an ordinary argument.

    Attributes:
        vocab_size: Rows of the word embedding table.
        hidden_size: Width of a token's vector, D.
        num_hidden_layers: Number of transformer layers.
        num_attention_heads: Heads per layer, N; each has size H = D / N.
        intermediate_size: Width of the feed-forward layer, F.
        max_position_embeddings: Rows of the position table.
        type_vocab_size: Number of token types.
        padding_idx: None if positions are 0, 1, 2, …, as in BERT. RoBERTa counts the tokens other than padding,
            starting after the id of its padding token, which is padding_idx.
        layer_norm_eps: The epsilon added to the variance in every LayerNorm.
        hidden_act: "gelu" (exact, by erf) or "gelu_new" (its tanh approximation).
        pooling: "mean", "cls", "max", "mean_sqrt_len", "weighted_mean" or "last_token", see `minilm_jax.nn.pooling`; or
            several joined by "+", such as "cls+mean", whose vectors are concatenated.
        projections: Modules that are applied to the pooled vector, in order.
        normalize: Whether `embed` returns unit vectors.
        classifier: The head of a cross-encoder, or None.
        sparse_head: The head of a sparse encoder, or None.
        hidden_dropout_prob: Probability of dropout after the embeddings and after each block, if `embed` gets a key.
        attention_probs_dropout_prob: The same for the attention weights.
        classifier_dropout: The same before a classifier; by default hidden_dropout_prob.
        attention_implementation: "xla", or "cudnn" for 16-bit computation on NVIDIA GPUs. It is not a property of the
            model and not part of `config.json`; `SentenceEncoder` chooses the faster one.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    padding_idx: int | None = None
    layer_norm_eps: float = 1e-12
    hidden_act: Activation = "gelu"
    pooling: str = "mean"
    projections: tuple[Projection, ...] = ()
    normalize: bool = True
    classifier: Classifier | None = None
    sparse_head: SparseHead | None = None
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None
    attention_implementation: AttentionImplementation = "xla"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.type is int:
                limit = _MAX_LAYERS if field.name == "num_hidden_layers" else MAX_SIZE
                check_size(field.name, getattr(self, field.name), limit)
        self._check_padding_idx()
        check_probability("layer_norm_eps", self.layer_norm_eps)
        for name in DROPOUT_FIELDS:
            if name != "classifier_dropout" or self.classifier_dropout is not None:
                check_probability(name, getattr(self, name))
        if not isinstance(self.normalize, bool):
            raise ModelFileError(f"config: normalize is {short_repr(self.normalize)}; it must be true or false.")
        if self.hidden_size % self.num_attention_heads:
            raise ModelFileError(
                f"config: hidden_size {self.hidden_size} is not a multiple of"
                f" num_attention_heads {self.num_attention_heads}."
            )
        check_choice("hidden_act", self.hidden_act, get_args(Activation))
        check_choice("attention_implementation", self.attention_implementation, get_args(AttentionImplementation))
        if self.classifier is not None and self.sparse_head is not None:
            raise ModelFileError("config: classifier and sparse_head are both given; a model has one head.")
        for mode in self.pooling.split("+") if isinstance(self.pooling, str) else [self.pooling]:
            check_choice("pooling", mode, get_args(PoolingMode))

    def _check_padding_idx(self) -> None:
        idx = self.padding_idx
        if idx is not None and (isinstance(idx, bool) or not isinstance(idx, int) or not 0 <= idx < self.vocab_size):
            raise ModelFileError(f"config: pad_token_id is {short_repr(idx)}; it must be a token id.")
        if self.max_length < 1:
            positions = self.max_position_embeddings
            raise ModelFileError(f"config: max_position_embeddings is {positions}; it must exceed pad_token_id + 1.")

    @property
    def max_length(self) -> int:
        """Maximum tokens per row."""
        return self.max_position_embeddings - (0 if self.padding_idx is None else self.padding_idx + 1)

    @property
    def pooling_modes(self) -> tuple[PoolingMode, ...]:
        """The modes whose pooled vectors are concatenated."""
        return cast(tuple[PoolingMode, ...], tuple(self.pooling.split("+")))

    @property
    def embedding_size(self) -> int:
        """Dimensions of a sentence embedding."""
        return self.projections[-1].features if self.projections else self.pooled_size

    @property
    def output_size(self) -> int:
        """Size of the result of each text: the labels of a classifier, the vocabulary, or the embedding size."""
        if self.classifier is not None:
            return len(self.classifier.labels)
        return self.embedding_size if self.sparse_head is None else self.vocab_size

    @property
    def pooled_size(self) -> int:
        """Dimensions of the pooled vector, before projections."""
        return self.hidden_size * len(self.pooling_modes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EncoderConfig":
        """Read the fields of a Hugging Face `config.json`; reject settings that this encoder does not implement.

        Args:
            values: The parsed JSON object of a BERT, RoBERTa, XLM-RoBERTa, CamemBERT or DistilBERT model; fields that
                do not change the forward pass are ignored.

        Returns:
            The config.

        Raises:
            ModelFileError: A field has a value, or is missing one, that these encoders cannot have.
        """
        fields = encoder_fields(values)
        known = {name: fields[name] for name in _model_fields() if name in fields}
        return cls(**known | heads_of(values))

    def to_dict(self) -> dict[str, Any]:
        """Return the config as a Hugging Face `config.json` object; the inverse of `from_dict`."""
        values = {name: getattr(self, name) for name in _model_fields()}
        # The field exists in RoBERTa's config.json only, and heads in that of few models.
        padding_idx = values.pop("padding_idx")
        values["projections"] = [dataclasses.asdict(projection) for projection in self.projections]
        for name in ("classifier", "sparse_head"):
            values[name] = None if values[name] is None else dataclasses.asdict(values[name])
        values = {name: value for name, value in values.items() if value or name not in HEAD_FIELDS}
        if padding_idx is None:
            return {"model_type": "bert", **values}
        return {"model_type": "roberta", "pad_token_id": padding_idx, **values}


def _model_fields() -> list[str]:
    return [field.name for field in dataclasses.fields(EncoderConfig) if field.name != "attention_implementation"]


ALL_MINILM_L6_V2 = EncoderConfig(
    vocab_size=30_522,
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1_536,
    max_position_embeddings=512,
    type_vocab_size=2,
)
