"""Spark: an embedding function for `DataFrame.mapInPandas`."""

from collections.abc import Callable, Iterator

import pandas as pd
from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.errors import InputError
from minilm_jax.scale.nulls import embed_or_null


def embed_frames(
    text_column: str,
    model: str = DEFAULT_MODEL,
    precision: Precision = "float32",
    *,
    vector_column: str = "embedding",
) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """Return the function to pass to `mapInPandas`; `with_vectors` returns its schema.

    Args:
        text_column: Name of the column that holds the texts.
        model: Name of a model, or a folder that all workers can read; each Python worker loads it once.
        precision: Compute precision, see `minilm_jax.cast`.
        vector_column: Name of the column of vectors.

    Returns:
        A function that adds a column of vectors to frames: float32[D] per row, or null if the text is null or blank.
    """

    def embed(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        # This is imported on the workers only, because the driver forks to start a JVM, and jax warns about forks.
        from minilm_jax.shared_encoders import shared_encoder

        for frame in frames:
            texts = [None if pd.isna(text) else text for text in frame[text_column]]
            yield frame.assign(**{vector_column: embed_or_null(shared_encoder(model, precision), texts)})

    return embed


def with_vectors(schema: StructType, vector_column: str = "embedding") -> StructType:
    """Return the schema of rows with the vectors that `embed_frames` adds.

    Args:
        schema: Schema of the rows without vectors.
        vector_column: Name of the column of vectors.

    Returns:
        The same columns, and an array of floats.

    Raises:
        InputError: The schema already has a column of this name.
    """
    if vector_column in schema.names:
        raise InputError(f"the schema already has a column {vector_column!r}; choose another vector_column.")
    return StructType([*schema.fields, StructField(vector_column, ArrayType(FloatType(), containsNull=False))])
