"""Columns from folder names such as `year=2024`, the partitions of Hive, Spark, DuckDB, Polars and pyarrow."""

import re
import urllib.parse

import pyarrow as pa

_NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"-?\d{1,18}")


def partition_fields(url: str) -> list[pa.Field]:
    """Return the columns that the folders of a file state: int32, int64 or string.

    Args:
        url: URL or path of the file.

    Returns:
        One field per folder that states a value.
    """
    return [pa.field(name, _infer_type(value)) for name, value in _values(url).items()]


def partition_values(url: str, columns: pa.Schema) -> dict[str, str | None]:
    """Return the values that the folders of a file state.

    Args:
        url: URL or path of the file.
        columns: Columns that the values will be cast to; zeros before integers are removed.

    Returns:
        Decoded values by name; None for the name that stands for null.
    """
    integers = {field.name for field in columns if pa.types.is_integer(field.type)}
    return {
        name: str(int(value)) if name in integers and value and _INTEGER.fullmatch(value) else value
        for name, value in _values(url).items()
    }


def _values(url: str) -> dict[str, str | None]:
    pairs = [folder.split("=", 1) for folder in url.split("/")[:-1] if folder.find("=") > 0]
    return {
        urllib.parse.unquote(name): None if value == _NULL else urllib.parse.unquote(value) for name, value in pairs
    }


def _infer_type(value: str | None) -> pa.DataType:
    if value is None:
        return pa.null()
    if not _INTEGER.fullmatch(value):
        return pa.string()
    return pa.int32() if -(2**31) <= int(value) < 2**31 else pa.int64()
