"""`EncoderConfig`: the sizes and pooling of an encoder, checked; it reads no files."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import jax

from minilm_jax.config.choices import Activation, AttentionImplementation, Pooling
from minilm_jax.errors import ModelFileError

# These limits are far above any real model; larger values indicate a damaged file.
_MAX_LAYERS = 1_000
_MAX_SIZE = 2**31 - 1

# If a config.json has one of these fields, it must have the value that this encoder implements.
_REQUIRED_IF_PRESENT: Mapping[str, Any] = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes of a BERT sentence encoder, and its pooling.

    Hashable, and a pytree without leaves: `jax.jit` takes it as an ordinary argument.

    Attributes:
        vocab_size: Rows of the word embedding table.
        hidden_size: Width of a token's vector, D.
        num_hidden_layers: Number of transformer layers.
        num_attention_heads: Heads per layer, N; each has size H = D / N.
        intermediate_size: Width of the feed-forward layer, F.
        max_position_embeddings: Maximum tokens per sequence.
        type_vocab_size: Number of token types.
        layer_norm_eps: The epsilon added to the variance in every LayerNorm.
        hidden_act: "gelu" (exact, by erf) or "gelu_new" (its tanh approximation).
        pooling: "mean" over the attended tokens, or "cls" for the first token.
        normalize: Whether `embed` returns unit vectors.
        attention_implementation: "xla", or "cudnn" for 16-bit computation on NVIDIA GPUs. It is not a property of the
            model and not part of `config.json`; `SentenceEncoder` chooses the faster one.
    """

    vocab_size: int = 30_522
    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    intermediate_size: int = 1_536
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: Activation = "gelu"
    pooling: Pooling = "mean"
    normalize: bool = True
    attention_implementation: AttentionImplementation = "xla"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            limit = _MAX_LAYERS if field.name == "num_hidden_layers" else _MAX_SIZE
            if field.type is int and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= limit):
                raise ModelFileError(
                    f"config: {field.name} is {short_repr(value)}; it must be a positive integer up to {limit:,}."
                )
        epsilon = self.layer_norm_eps
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
            raise ModelFileError(f"config: layer_norm_eps is {short_repr(epsilon)}; it must be a number from 0 to 1.")
        if not isinstance(self.normalize, bool):
            raise ModelFileError(f"config: normalize is {short_repr(self.normalize)}; it must be true or false.")
        if self.hidden_size % self.num_attention_heads:
            raise ModelFileError(
                f"config: hidden_size {self.hidden_size} is not a multiple of"
                f" num_attention_heads {self.num_attention_heads}."
            )
        choices = (
            ("hidden_act", Activation),
            ("pooling", Pooling),
            ("attention_implementation", AttentionImplementation),
        )
        for name, allowed in ((name, get_args(literal)) for name, literal in choices):
            if getattr(self, name) not in allowed:
                raise ModelFileError(
                    f"config: {name} is {short_repr(getattr(self, name))}; supported: {', '.join(allowed)}."
                )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EncoderConfig":
        """Read the fields of a Hugging Face `config.json`; reject settings that this encoder does not implement.

        Args:
            values: The parsed JSON object; fields that do not change the forward pass are ignored.

        Returns:
            The config.

        Raises:
            ModelFileError: A field has a value, or is missing one, that a BERT encoder cannot have.
        """
        for name, required in _REQUIRED_IF_PRESENT.items():
            if values.get(name, required) != required:
                raise ModelFileError(
                    f"config: {name} is {short_repr(values[name])}, but only {required!r} is implemented;"
                    " this is not a BERT encoder."
                )
        known = {name: values[name] for name in _model_fields() if name in values}
        missing = [
            n for n in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads") if n not in known
        ]
        if missing:
            raise ModelFileError(f"config: {', '.join(missing)} missing; is this the model's config.json?")
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Return the config as a Hugging Face `config.json` object; the inverse of `from_dict`."""
        return {"model_type": "bert", **{name: getattr(self, name) for name in _model_fields()}}


def _model_fields() -> list[str]:
    return [field.name for field in dataclasses.fields(EncoderConfig) if field.name != "attention_implementation"]


def short_repr(value: Any) -> str:
    """Return a short form of a value for error messages; lists and dicts are replaced by their type."""
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else f"{value!r:.60}"


ALL_MINILM_L6_V2 = EncoderConfig()
