"""Spark: an embedding function for `DataFrame.mapInArrow`, which passes all other values on unchanged."""

from collections.abc import Callable, Iterator

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.errors import InputError
from minilm_jax.imports import from_extra
from minilm_jax.scale.column_checks import check_columns
from minilm_jax.scale.nulls import embed_or_null
from minilm_jax.scale.problems import cast_column

with from_extra("spark"):
    import pyarrow as pa
    from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

_VECTOR = pa.list_(pa.field("element", pa.float32(), nullable=False))


def embed_frames(
    text_column: str,
    model: str = DEFAULT_MODEL,
    precision: Precision = "float32",
    *,
    vector_column: str = "embedding",
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function to pass to `mapInArrow`; `with_vectors` returns its schema.

    Args:
        text_column: Name of the column that holds the texts.
        model: Name of a model, or a folder that all workers can read; each Python worker loads it once.
        precision: Compute precision, see `minilm_jax.cast`.
        vector_column: Name of the column of vectors.

    Returns:
        A function that adds a column of vectors to batches: float32[D] per row, or null if the text is null or blank.
        It raises InputError if the column of texts does not exist or does not hold strings.
    """

    def embed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # This is imported on the workers only, because the driver forks to start a JVM, and jax warns about forks.
        from minilm_jax.shared_encoders import shared_encoder

        for batch in batches:
            vectors = embed_or_null(shared_encoder(model, precision), _read_texts(batch, text_column))
            yield pa.RecordBatch.from_arrays(
                [*batch.columns, pa.array(vectors, _VECTOR)], [*batch.schema.names, vector_column]
            )

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


def _read_texts(batch: pa.RecordBatch, name: str) -> list[str | None]:
    if not isinstance(batch, pa.RecordBatch):
        raise InputError("pass the function of embed_frames to mapInArrow, not to mapInPandas.")
    check_columns(batch.schema, name, ())
    problems: dict[int, str] = {}
    texts = cast_column(batch.column(name), pa.field(name, pa.large_string()), problems)
    if problems:
        raise InputError(f"{min(problems.items())[1]}.")
    return texts.to_pylist()
