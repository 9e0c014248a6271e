"""What size and shape an encoder has: `EncoderConfig`, read from a Hugging Face `config.json`."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import jax

from minilm_jax.errors import ModelFileError

Activation = Literal["gelu", "gelu_new"]
Pooling = Literal["mean", "cls"]
AttentionImplementation = Literal["xla", "cudnn"]
T = TypeVar("T")

# Far above any real model; a number beyond them is a damaged file, and not worth building a tree for.
_MOST_LAYERS = 1_000
_LARGEST_SIZE = 2**31 - 1

# What a config.json may say beside the fields below only if it says the value that this encoder implements.
_REQUIRED_IF_PRESENT: Mapping[str, Any] = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The sizes of a BERT sentence encoder and how its vectors are pooled.

    Hashable, and a leafless pytree: it passes through `jax.jit` as an ordinary argument.

    Attributes:
        vocab_size: Rows of the word embedding table, V.
        hidden_size: Width of a token's vector, D.
        num_hidden_layers: Transformer layers.
        num_attention_heads: Heads a layer, N; each is H = D / N wide.
        intermediate_size: Width of the feed-forward layer, F.
        max_position_embeddings: Longest sequence in tokens.
        type_vocab_size: Token types.
        layer_norm_eps: Added to the variance in every LayerNorm.
        hidden_act: "gelu" (exact, by erf) or "gelu_new" (its tanh approximation).
        pooling: "mean" over the attended tokens, or "cls" for the first token.
        normalize: Whether `embed` returns unit vectors.
        attention_implementation: "xla", or "cudnn" in 16 bits on an NVIDIA GPU; it is no property of the model, and in
            no `config.json`. `SentenceEncoder` takes what is faster there.
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
    # Not in the repr, which fingerprints of a model are made of.
    attention_implementation: AttentionImplementation = dataclasses.field(default="xla", repr=False)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            most = _MOST_LAYERS if field.name == "num_hidden_layers" else _LARGEST_SIZE
            if field.type is int and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most):
                raise ModelFileError(
                    f"config: {field.name} is {_short(value)}; it must be a positive whole number up to {most:,}."
                )
        epsilon = self.layer_norm_eps
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
            raise ModelFileError(f"config: layer_norm_eps is {_short(epsilon)}; it must be a number from 0 to 1.")
        if not isinstance(self.normalize, bool):
            raise ModelFileError(f"config: normalize is {_short(self.normalize)}; it must be true or false.")
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
                    f"config: {name} is {_short(getattr(self, name))}; supported: {', '.join(allowed)}."
                )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EncoderConfig":
        """Reads the fields of a Hugging Face `config.json`, refusing what this encoder does not compute.

        Args:
            values: The parsed JSON object; fields that do not change the forward pass are ignored.

        Returns:
            The config.

        Raises:
            ModelFileError: A field has a value, or is missing one, that a BERT encoder cannot have.
        """
        for name, wanted in _REQUIRED_IF_PRESENT.items():
            if values.get(name, wanted) != wanted:
                raise ModelFileError(
                    f"config: {name} is {_short(values[name])}, but only {wanted!r} is implemented;"
                    " this is no BERT encoder."
                )
        known = {name: values[name] for name in _model_fields() if name in values}
        missing = [
            n for n in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads") if n not in known
        ]
        if missing:
            raise ModelFileError(f"config: no {', '.join(missing)}; is this the model's config.json?")
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Returns the config as a Hugging Face `config.json` object, the inverse of `from_dict`."""
        return {"model_type": "bert", **{name: getattr(self, name) for name in _model_fields()}}


def _model_fields() -> list[str]:
    return [field.name for field in dataclasses.fields(EncoderConfig) if field.name != "attention_implementation"]


def read_config(path: Path) -> EncoderConfig:
    """Reads `config.json`, and the pooling from the sentence-transformers files beside it where there are any.

    Args:
        path: A model folder.

    Returns:
        The config.

    Raises:
        ModelFileError: A file is missing, is no JSON object, or describes another kind of model.
    """
    values = read_json(path / "config.json", dict)
    pooling_file = path / "1_Pooling" / "config.json"
    if "pooling" not in values and pooling_file.exists():
        values["pooling"] = _pooling_mode(read_json(pooling_file, dict), pooling_file)
    modules_file = path / "modules.json"
    if "normalize" not in values and modules_file.exists():
        values["normalize"] = "Normalize" in _modules(read_json(modules_file, list), modules_file)
    try:
        return EncoderConfig.from_dict(values)
    except ModelFileError as error:
        raise ModelFileError(f"{path / 'config.json'}: {error}") from None


def read_max_seq_length(path: Path) -> int | None:
    """Returns the longest text, in tokens, that a model was trained for, or None where its folder does not say.

    Args:
        path: A model folder, with `sentence_bert_config.json` or `tokenizer_config.json`, or without.

    Raises:
        ModelFileError: A file is damaged.
    """
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        length = read_json(path / name, dict).get(key) if (path / name).exists() else None
        if length is None:
            continue
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ModelFileError(f"{path / name}: {key} is {_short(length)}; it must be a positive whole number.")
        return length
    return None


def _pooling_mode(values: Mapping[str, Any], path: Path) -> str:
    if values.get("include_prompt", True) is not True:
        raise ModelFileError(f"{path}: include_prompt is off; prompts that are not pooled are not implemented.")
    # Up to sentence-transformers 5 a switch for each mode, from 6 on their name or names.
    modes = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"} | {m: m for m in get_args(Pooling)}
    named = values.get("pooling_mode", [])
    chosen = [name for name, on in values.items() if name.startswith("pooling_mode_") and on is True]
    chosen += named if isinstance(named, list) else [named]
    if len(chosen) != 1 or not isinstance(chosen[0], str) or chosen[0] not in modes:
        raise ModelFileError(f"{path}: pooling is {chosen!r:.200}; supported: {', '.join(modes)}, one at a time.")
    return modes[chosen[0]]


def _modules(modules: list[Any], path: Path) -> set[str]:
    """Returns the kinds of module that follow one another in a model; there may be no other."""
    types = [module.get("type") if isinstance(module, dict) else module for module in modules]
    names = {str(name).rpartition(".")[2] for name in types}
    if not names <= {"Transformer", "Pooling", "Normalize"}:
        raise ModelFileError(
            f"{path}: modules are {types!r:.200}; only Transformer, Pooling, Normalize are implemented."
        )
    return names


def read_json(path: Path, kind: type[T]) -> T:
    """Returns what a JSON file of a model holds; ModelFileError where it is missing, damaged, or of another kind."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelFileError(f"{path} is missing; a model folder needs it beside the weights.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read as JSON ({error}); fetch it again.") from None
    if not isinstance(values, kind):
        raise ModelFileError(f"{path} holds a {type(values).__name__}, not a {kind.__name__}; fetch it again.")
    return values


def _short(value: Any) -> str:
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else f"{value!r:.60}"


ALL_MINILM_L6_V2 = EncoderConfig()
