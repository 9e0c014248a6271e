"""Checks that the columns of a job exist and that the column of texts holds strings."""

import pyarrow as pa

from minilm_jax.errors import InputError, did_you_mean

_TEXT_TYPES = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_null,
)


def _check_column(name: str, schema: pa.Schema) -> None:
    """Raise InputError if a schema has no column of this name."""
    if name not in schema.names:
        available = ", ".join(map(repr, schema.names)) or "none"
        raise InputError(f"no column {name!r}; available: {available}.{did_you_mean(name, schema.names)}")


def _check_text_column(name: str, schema: pa.Schema) -> None:
    """Raise InputError if a schema has no column of this name, or the column does not hold strings."""
    _check_column(name, schema)
    type = schema.field(name).type
    if pa.types.is_dictionary(type):
        type = type.value_type
    if not any(is_text(type) for is_text in _TEXT_TYPES):
        raise InputError(f"column {name!r} holds {type}, not strings.")


def check_columns(schema: pa.Schema, text_column: str, *kept: str) -> None:
    """Raise InputError if a column is missing, or the column of texts does not hold strings."""
    _check_text_column(text_column, schema)
    for name in kept:
        _check_column(name, schema)
