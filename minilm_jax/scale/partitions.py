"""Columns from folder names such as `year=2024`, the partitions of Hive, Spark, DuckDB, Polars and pyarrow."""

import re
import urllib.parse

import pyarrow as pa

_NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"-?\d{1,18}")


def partition_values(url: str) -> dict[str, str | None]:
    """Return the values that the folders of a file state, by column.

    Args:
        url: URL or path of the file.

    Returns:
        The decoded values; None for the name that stands for null.
    """
    pairs = [folder.split("=", 1) for folder in url.split("/")[:-1] if folder.find("=") > 0]
    return {urllib.parse.unquote(name): None if value == _NULL else urllib.parse.unquote(value) for name, value in pairs}


def partition_fields(url: str) -> list[pa.Field]:
    """Return the columns that the folders of a file state: int32, int64 or string.

    Args:
        url: URL or path of the file.

    Returns:
        One field per folder with a value.
    """
    return [pa.field(name, _infer_type(value)) for name, value in partition_values(url).items()]


def partition_column(value: str | None, type: pa.DataType, rows: int) -> pa.Array:
    """Return the value of a partition once per row.

    Args:
        value: A value from `partition_values`.
        type: Type that the column is cast to afterwards; integers may be padded with zeros.
        rows: Number of rows.

    Returns:
        Strings.
    """
    if value is not None and pa.types.is_integer(type) and _INTEGER.fullmatch(value):
        value = str(int(value))
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def _infer_type(value: str | None) -> pa.DataType:
    if value is None:
        return pa.null()
    if not _INTEGER.fullmatch(value):
        return pa.string()
    return pa.int32() if -(2**31) <= int(value) < 2**31 else pa.int64()
