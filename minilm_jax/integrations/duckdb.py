"""DuckDB: a SQL function that embeds texts."""

import numpy as np

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.imports import from_extra
from minilm_jax.shared_encoders import embed_texts, embedding_size

with from_extra("duckdb"):
    import duckdb
    import pyarrow as pa
    from duckdb.func import PythonUDFType


def register(
    connection: duckdb.DuckDBPyConnection,
    model: str = DEFAULT_MODEL,
    precision: Precision = "float32",
    *,
    name: str = "embed",
) -> None:
    """Register a SQL function from VARCHAR to FLOAT[D], which maps NULL to NULL.

    DuckDB calls it with about two thousand rows at a time.

    Args:
        connection: A connection to the database; other connections of this process to it get the function too.
        model: Name or folder of a model.
        precision: Precision of the computation, see `minilm_jax.cast`.
        name: Name of the function in SQL.

    Raises:
        ModelFileError: The model cannot be found.
    """
    size = embedding_size(model)

    def embed(texts: pa.ChunkedArray) -> pa.FixedSizeListArray:
        vectors = embed_texts(texts.to_pylist(), model, precision)
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(vectors)), size)

    connection.create_function(name, embed, ["VARCHAR"], f"FLOAT[{size}]", type=PythonUDFType.ARROW)
