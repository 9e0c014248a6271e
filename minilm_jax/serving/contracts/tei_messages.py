"""The bodies of requests and responses of text-embeddings-inference, and of `/explain`."""

from typing import Literal

import msgspec


class Truncation(msgspec.Struct, kw_only=True):
    """Optional fields of most bodies."""

    truncate: bool | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] = "Right"
    prompt_name: str | None = None


class EmbedBody(Truncation):
    """Texts to embed."""

    inputs: str | list[str]
    normalize: bool = True
    dimensions: int | None = None


class TextsBody(Truncation):
    """Texts."""

    inputs: str | list[str]


class SimilarityInputs(msgspec.Struct):
    """A text, and those that it is compared with."""

    source_sentence: str
    sentences: list[str]


class SimilarityBody(msgspec.Struct):
    """Texts to compare."""

    inputs: SimilarityInputs
    parameters: Truncation | None = None


class TokenizeBody(msgspec.Struct):
    """Texts to tokenize."""

    inputs: str | list[str]
    add_special_tokens: bool = True
    prompt_name: str | None = None


class DecodeBody(msgspec.Struct):
    """Token ids."""

    ids: list[int | list[int]]
    skip_special_tokens: bool = True


class RerankBody(Truncation):
    """A query, and texts to sort."""

    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False


class PredictBody(Truncation):
    """Texts or pairs to classify."""

    inputs: str | list[str | list[str]]
    raw_scores: bool = False


class ExplainBody(msgspec.Struct):
    """Two texts whose similarity is explained."""

    first: str
    second: str


class Token(msgspec.Struct):
    """A token and its position in the text."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Rank(msgspec.Struct, omit_defaults=True):
    """A text in the result of `/rerank`."""

    index: int
    score: float
    text: str | None = None


class Prediction(msgspec.Struct):
    """A label and its score."""

    score: float
    label: str


class SparseValue(msgspec.Struct):
    """A weight of a sparse vector."""

    index: int
    value: float
