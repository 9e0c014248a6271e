"""The rows of a Parquet file, or one column of strings, for the commands that read texts."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from minilm_jax.errors import InputError, MissingPackageError
from minilm_jax.files.columns import column_problem

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

# This many rows are decoded together, and this many bytes of a column are read at a time, so that memory does not
# depend on the size of the row groups.
_ROWS = 1_024
_BUFFER = 4 << 20


def read_column(file: BinaryIO, column: str) -> Iterator[str | None]:
    """Read a column of strings.

    Args:
        file: Seekable file opened for reading in binary mode. It is left open.
        column: Name of the column.

    Yields:
        The strings, or None for null. A byte that is not UTF-8 becomes a lone surrogate.

    Raises:
        InputError: pyarrow is missing, the file is damaged, or it has no such column of strings.
    """
    with _opened(file) as source:
        import pyarrow as pa

        from minilm_jax.files.text_types import holds_texts

        if problem := column_problem(column, source.schema_arrow.names):
            raise InputError(problem)
        if not holds_texts(source.schema_arrow.field(column).type):
            raise InputError(f"column {column!r} does not hold strings.")
        for batch in source.iter_batches(_ROWS, columns=[column]):
            values = batch.column(0)
            values = values.dictionary_decode() if isinstance(values, pa.DictionaryArray) else values
            for value in values.cast(pa.large_binary()).to_pylist():
                yield value if value is None else value.decode(errors="surrogateescape")


def read_rows(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Read all columns.

    Args:
        file: As in `read_column`.

    Yields:
        The values of each row by column.

    Raises:
        InputError: pyarrow is missing, or the file is damaged.
    """
    with _opened(file) as source:
        yield from itertools.chain.from_iterable(batch.to_pylist() for batch in source.iter_batches(_ROWS))


@contextlib.contextmanager
def _opened(file: BinaryIO) -> Iterator["ParquetFile"]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingPackageError("Parquet files need pyarrow: pip install 'minilm-jax[parquet]'") from None
    if not file.seekable():
        raise InputError("a Parquet file cannot be read from a pipe; name it with --file.")
    try:
        yield parquet.ParquetFile(file, buffer_size=_BUFFER)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"the file cannot be read: {(str(error) or 'unknown reason').splitlines()[0]}") from None
