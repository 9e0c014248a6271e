"""`OutputOptions`: how `SentenceEncoder.encode` returns vectors: truncated, normalized, rounded, numpy or jax."""

import dataclasses
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from minilm_jax.arguments import integer
from minilm_jax.config import OutputPrecision, OutputValue, Precision
from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.nn.settings import device_use
from minilm_jax.tokens.batching import RaggedIds
from minilm_jax.vectors.quantization import check_output_precision, quantize_embeddings

# Normalization divides by at least this value, as in torch.
_SMALLEST_NORM = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Validated keywords of `encode` that determine its results.

    Attributes:
        value: "sentence_embedding", "token_embeddings", or None for all results of each text.
        precision: The precision of the results.
        convert_to_numpy: Whether results are numpy arrays.
        convert_to_tensor: Whether the results are one jax array.
        normalize: Whether sentence vectors are scaled to unit length.
        truncate_dim: Number of dimensions of sentence vectors to keep, or None for all.

    Raises:
        InputError: A keyword has an invalid value.
    """

    value: OutputValue | None = "sentence_embedding"
    precision: OutputPrecision = "float32"
    convert_to_numpy: bool = True
    convert_to_tensor: bool = False
    normalize: bool = False
    truncate_dim: int | None = None

    def __post_init__(self) -> None:
        if self.precision in {*get_args(Precision)} - {*get_args(OutputPrecision)}:
            raise InputError(
                f"encode cannot return {self.precision}; its precision is that of the returned vectors. To compute in"
                f" {self.precision}, load the model with SentenceEncoder(…, precision={self.precision!r})."
            )
        if self.precision != "float32":
            check_output_precision(self.precision)
        known = get_args(OutputValue)
        if self.value not in (None, *known):
            near = did_you_mean(str(self.value), known)
            raise InputError(f"output_value is {self.value!r}; it must be one of {', '.join(known)}, or None.{near}")
        if self.value is None and self.precision != "float32":
            raise InputError(
                "precision must be float32 if output_value is None, because only one kind of vectors can be rounded."
            )
        if self.truncate_dim is not None:
            integer("truncate_dim", self.truncate_dim)

    def sentences(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """Apply the options to sentence vectors, float32[n, D]."""
        if self.truncate_dim is not None:
            vectors = np.ascontiguousarray(vectors[:, : self.truncate_dim])
        if self.normalize:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(_SMALLEST_NORM))
        return vectors if self.precision == "float32" else quantize_embeddings(vectors, self.precision)

    def tokens(self, vectors: list[NDArray[np.float32]]) -> list[NDArray[Any]]:
        """Apply the options to token vectors, float32[T, D] per text."""
        return quantize_embeddings(vectors, self.precision) if vectors and self.precision != "float32" else vectors

    def everything(
        self, tokens: RaggedIds, token_vectors: list[NDArray[np.float32]], vectors: NDArray[np.float32]
    ) -> list[dict[str, NDArray[Any]]]:
        """Return a dict of all results for each text."""
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

    @device_use()
    def converted(self, results: Any) -> Any:
        """Convert numpy arrays, or lists and dicts of them, to the requested type."""
        if self.convert_to_numpy and not self.convert_to_tensor:
            return results
        results = jax.tree.map(jnp.asarray, results)
        return results if self.convert_to_tensor else list(results)
