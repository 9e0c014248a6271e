"""Spark: the encoder as a function for `DataFrame.mapInPandas`."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pandas as pd
from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.errors import InputError

if TYPE_CHECKING:
    from minilm_jax.config import Precision


def embed_frames(
    text_column: str,
    model: str = DEFAULT_MODEL,
    precision: "Precision" = "float32",
    *,
    vector_column: str = "embedding",
) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """Makes the function that `mapInPandas` takes; `with_vectors` makes the schema.

    Args:
        text_column: The column that holds the texts.
        model: A model's name, or a folder that all workers see; each Python worker loads it once.
        precision: What to compute in, see `minilm_jax.cast`.
        vector_column: What the column of vectors is called.

    Returns:
        A function that adds vectors to frames, float32[D] a row, or null where the text is null or blank.
    """

    def embed(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        # Not in the driver, which starts a JVM by a fork that jax would warn of.
        from minilm_jax.scale.nulls import embed_or_null
        from minilm_jax.shared_encoders import shared_encoder

        for frame in frames:
            texts = [None if pd.isna(text) else text for text in frame[text_column]]
            yield frame.assign(**{vector_column: embed_or_null(shared_encoder(model, precision), texts)})

    return embed


def with_vectors(schema: StructType, vector_column: str = "embedding") -> StructType:
    """Makes the schema of rows to which `embed_frames` has added vectors.

    Args:
        schema: Of the rows without them.
        vector_column: What the column of vectors is called.

    Returns:
        The same columns, and an array of floats.

    Raises:
        InputError: There is such a column already.
    """
    if vector_column in schema.names:
        raise InputError(f"there is a column {vector_column!r} already; choose another vector_column.")
    return StructType([*schema.fields, StructField(vector_column, ArrayType(FloatType(), containsNull=False))])
