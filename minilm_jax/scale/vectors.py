"""The column of vectors, in as many bits as were asked for.

float32 and float16 are the vectors as they are computed. int8 is `round(127 v)` of unit vectors, whose values are in
[-1, 1] for any text and any model, so that a cosine of int8 vectors is one of the vectors themselves, to about 0.01.
binary packs the signs, eight dimensions to a byte of uint8, as `minilm_jax.search.quantize_embeddings` does for
"ubinary".
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from minilm_jax.config import VectorType
from minilm_jax.vectors.quantization import quantize_embeddings

# What stands for 1 in int8.
INT8_ONE = 127
_ELEMENTS: Mapping[VectorType, pa.DataType] = {
    "float32": pa.float32(),
    "float16": pa.float16(),
    "int8": pa.int8(),
    "binary": pa.uint8(),
}


class Vectors(NamedTuple):
    """The vectors of some rows, not all of which have one.

    Attributes:
        values: float32[m, D].
        there: bool[n], true at the m rows that have a vector.
    """

    values: NDArray[np.float32]
    there: NDArray[np.bool_]


def vector_type(dtype: VectorType, dimensions: int) -> pa.DataType:
    """Returns the type of the column: a list of a fixed size."""
    return pa.list_(_ELEMENTS[dtype], -(-dimensions // 8) if dtype == "binary" else dimensions)


def vector_column(vectors: Vectors, dtype: VectorType) -> pa.FixedSizeListArray:
    """Makes a column of vectors and nulls.

    Args:
        vectors: What was embedded; of unit length for "int8".
        dtype: What to store.

    Returns:
        The column, of n rows.
    """
    stored = _stored(vectors.values, dtype)
    column = np.zeros((len(vectors.there), stored.shape[1]), stored.dtype)
    column[vectors.there] = stored
    values = pa.array(column.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, stored.shape[1], mask=pa.array(~vectors.there))


def _stored(vectors: NDArray[np.float32], dtype: VectorType) -> NDArray[np.generic]:
    if dtype == "binary":
        return quantize_embeddings(vectors, "ubinary")
    if dtype == "int8":
        return np.rint(vectors * np.float32(INT8_ONE)).astype(np.int8)
    return vectors.astype(dtype)
