"""The column of vectors, in the storage type of the job.

float32 and float16 store the vectors as computed. int8 stores `round(127 v)` of unit vectors, whose values are in
[-1, 1] for any text and model; cosines of int8 vectors agree with those of the vectors to about 0.01. binary stores the
signs, eight dimensions per uint8, as `minilm_jax.search.quantize_embeddings` does for "ubinary".
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from minilm_jax.config import VectorType
from minilm_jax.vectors.quantization import quantize_embeddings

# This int8 value represents 1.0.
_INT8_ONE = 127
_ELEMENTS: Mapping[VectorType, pa.DataType] = {
    "float32": pa.float32(),
    "float16": pa.float16(),
    "int8": pa.int8(),
    "binary": pa.uint8(),
}


class Vectors(NamedTuple):
    """Vectors of n rows, of which m have one.

    Attributes:
        values: float32[m, D].
        has_vector: bool[n], true for the m rows that have a vector.
    """

    values: NDArray[np.float32]
    has_vector: NDArray[np.bool_]


def vector_type(dtype: VectorType, dimensions: int) -> pa.DataType:
    """Return the type of the column, a list of fixed size."""
    return pa.list_(_ELEMENTS[dtype], -(-dimensions // 8) if dtype == "binary" else dimensions)


def vector_column(vectors: Vectors, dtype: VectorType) -> pa.FixedSizeListArray:
    """Convert vectors to a column with nulls.

    Args:
        vectors: Vectors of n rows; of unit length for "int8".
        dtype: Storage type.

    Returns:
        The column, with n rows.
    """
    stored = _convert(vectors.values, dtype)
    column = np.zeros((len(vectors.has_vector), stored.shape[1]), stored.dtype)
    column[vectors.has_vector] = stored
    values = pa.array(column.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, stored.shape[1], mask=pa.array(~vectors.has_vector))


def _convert(vectors: NDArray[np.float32], dtype: VectorType) -> NDArray[np.generic]:
    if dtype == "binary":
        return quantize_embeddings(vectors, "ubinary")
    if dtype == "int8":
        return np.rint(vectors * np.float32(_INT8_ONE)).astype(np.int8)
    return vectors.astype(dtype)
