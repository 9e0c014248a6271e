"""DuckDB: the encoder as a function in SQL."""

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.shared_encoders import embed_texts, embedding_size


def register(
    connection: duckdb.DuckDBPyConnection,
    model: str = DEFAULT_MODEL,
    precision: Precision = "float32",
    *,
    name: str = "embed",
) -> None:
    """Makes a SQL function: VARCHAR to FLOAT[D], NULL to NULL, some two thousand rows at a time.

    Args:
        connection: A connection to the database; its other connections in this process see the function too.
        model: A model's name, or a folder.
        precision: What to compute in, see `minilm_jax.cast`.
        name: What the function is called in SQL.

    Raises:
        ModelFileError: The model cannot be found.
    """
    size = embedding_size(model)

    def embed(texts: pa.ChunkedArray) -> pa.FixedSizeListArray:
        vectors = embed_texts(texts.to_pylist(), model, precision)
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(vectors)), size)

    connection.create_function(name, embed, ["VARCHAR"], f"FLOAT[{size}]", type=PythonUDFType.ARROW)
