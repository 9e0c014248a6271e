"""The common type of a column whose type differs between files; the order of the files does not matter."""

import functools
from collections.abc import Mapping, Sequence

import pyarrow as pa

from minilm_jax.scale.plain_types import plain_type
from minilm_jax.scale.readers import Contents

# The types of JSON lines are guesses from the values, and CSV has no types.
_FORMATS_BY_TRUST = (("parquet", "arrow"), ("jsonl",), ("csv",))


def kept_field(name: str, files: Sequence[Contents]) -> pa.Field:
    """Return the field of a column that all files are cast to.

    Args:
        name: Name of the column.
        files: Files of which some have the column.

    Returns:
        The field. Parquet and Arrow files determine its type; without any, JSON lines; without any, CSV.
    """
    having = [contents for contents in files if name in contents.schema.names]
    for formats in _FORMATS_BY_TRUST:
        fields = [contents.schema.field(name) for contents in having if contents.file.format in formats]
        types = {plain_type(field.type) for field in fields if not pa.types.is_null(field.type)}
        if types:
            type = functools.reduce(common_type, sorted(types, key=str))
            # The metadata of a field may state a meaning that other types do not have, such as a period of pandas.
            metadata = fields[0].metadata if len(types) == 1 else None
            return pa.field(name, type, metadata=metadata)  # Values that cannot be read become null.
    is_typed = any(contents.file.format in _FORMATS_BY_TRUST[0] for contents in having)
    return pa.field(name, pa.null() if is_typed else pa.string())


def types_in_files(name: str, files: Sequence[Contents]) -> list[str]:
    """Return the types of a column with an example file each, such as "int64 in a.parquet"."""
    examples: dict[str, str] = {}
    for contents in files:
        if name in contents.schema.names:
            type = plain_type(contents.schema.field(name).type)
            examples.setdefault(str(type), str(contents.file))
    return [f"{type} in {url}" for type, url in examples.items() if type != "null"]


def describe_changes(recorded: Mapping[str, str], columns: pa.Schema) -> str:
    """Return which columns differ from recorded ones and why, such as "'id' was int64, now string (string in a.csv)".

    Args:
        recorded: Types by name.
        columns: The columns now; their types in the files are the metadata.
    """
    origins = {name.decode(): f" ({types.decode()})" for name, types in (columns.metadata or {}).items() if types}
    changes = [f"{name!r} is missing" for name in recorded.keys() - {*columns.names}]
    for field in columns:
        if (before := recorded.get(field.name)) is None:
            changes.append(f"{field.name!r} is new{origins.get(field.name, '')}")
        elif before != str(field.type):
            changes.append(f"{field.name!r} was {before}, now {field.type}{origins.get(field.name, '')}")
    return ", ".join(sorted(changes))


def common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """Return a type for the values of two types.

    Args:
        first: A plain type.
        second: Another plain type.

    Returns:
        The smallest type that has all values of both. Integers and floats become float64, times get the finer unit, and
        times of different zones become UTC, each with a few values that do not fit. Types that have nothing in common
        become strings.
    """
    if {first, second} & {pa.uint64()} and pa.types.is_signed_integer(first) != pa.types.is_signed_integer(second):
        if pa.types.is_integer(first) and pa.types.is_integer(second):
            return pa.decimal128(20, 0)
    if pa.types.is_timestamp(first) and pa.types.is_timestamp(second) and first.tz and second.tz:
        first, second = pa.timestamp(first.unit, "UTC"), pa.timestamp(second.unit, "UTC")
    first, second = _date_as_time(first, second), _date_as_time(second, first)
    schemas = [pa.schema([("", type)]) for type in (first, second)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string()


def _date_as_time(type: pa.DataType, other: pa.DataType) -> pa.DataType:
    is_local = pa.types.is_timestamp(other) and other.tz is None
    return other if pa.types.is_date(type) and is_local else type
