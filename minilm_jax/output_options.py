"""What `SentenceEncoder.encode` hands out: vectors cut, normalised and rounded, as numpy or as jax arrays."""

import dataclasses
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from minilm_jax.config import OutputPrecision, OutputValue
from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.vectors.quantization import check_output_precision, quantize_embeddings

# As torch does, a vector is divided by no less.
_SMALLEST_NORM = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The form in which a call of `encode` wants its results; its keywords, checked.

    Attributes:
        value: "sentence_embedding", "token_embeddings", or None for everything that there is of each text.
        precision: What numbers are rounded to.
        convert_to_numpy: Whether results are numpy arrays.
        convert_to_tensor: Whether they are one jax array.
        normalize: Whether sentence vectors are scaled to unit length.
        truncate_dim: How many dimensions of sentence vectors are kept, or None for all.

    Raises:
        InputError: A keyword has a value that it cannot have.
    """

    value: OutputValue | None
    precision: OutputPrecision
    convert_to_numpy: bool
    convert_to_tensor: bool
    normalize: bool
    truncate_dim: int | None

    def __post_init__(self) -> None:
        check_output_precision(self.precision)
        known = get_args(OutputValue)
        if self.value not in (None, *known):
            near = did_you_mean(str(self.value), known)
            raise InputError(f"output_value is {self.value!r}; it must be one of {', '.join(known)}, or None.{near}")
        if self.value is None and self.precision != "float32":
            raise InputError("precision rounds vectors alone; with output_value=None it must be float32.")
        if self.truncate_dim is not None and self.truncate_dim < 1:
            raise InputError(f"truncate_dim is {self.truncate_dim}; it must be at least 1.")

    def sentences(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """Finishes sentence vectors, float32[n, D]."""
        if self.truncate_dim is not None:
            vectors = np.ascontiguousarray(vectors[:, : self.truncate_dim])
        if self.normalize:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(_SMALLEST_NORM))
        return vectors if self.precision == "float32" else quantize_embeddings(vectors, self.precision)

    def tokens(self, vectors: list[NDArray[np.float32]]) -> list[NDArray[Any]]:
        """Finishes token vectors, a float32[T, D] for each text."""
        return vectors if self.precision == "float32" else quantize_embeddings(vectors, self.precision)

    def everything(
        self, tokens: RaggedIds, token_vectors: list[NDArray[np.float32]], vectors: NDArray[np.float32]
    ) -> list[dict[str, NDArray[Any]]]:
        """Puts all that there is of each text into a dict."""
        ends = np.cumsum(tokens.lengths, dtype=np.int64)
        ids = [tokens.ids[end - length : end] for end, length in zip(ends, tokens.lengths, strict=True)]
        return [
            {
                "input_ids": row,
                "token_type_ids": np.zeros_like(row),
                "attention_mask": np.ones_like(row),
                "token_embeddings": token_vector,
                "sentence_embedding": vector,
            }
            for row, token_vector, vector in zip(ids, token_vectors, self.sentences(vectors), strict=True)
        ]

    def converted(self, results: Any) -> Any:
        """Turns numpy arrays, or lists and dicts of them, into what the call wants."""
        if self.convert_to_numpy and not self.convert_to_tensor:
            return results
        results = jax.tree.map(jnp.asarray, results)
        return results if self.convert_to_tensor else list(results)
