"""Checks that the columns of a job exist and that the column of texts holds strings."""

from collections.abc import Sequence

import pyarrow as pa

from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.scale.plain_types import plain_type

_TEXT_TYPES = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_null,
)


def check_column(name: str, available: Sequence[str]) -> None:
    """Raise InputError if no available column has this name."""
    if name not in available:
        names = ", ".join(map(repr, available)) or "none"
        raise InputError(f"no column {name!r}; available: {names}.{did_you_mean(name, available)}")


def _check_text_column(name: str, schema: pa.Schema) -> None:
    """Raise InputError if a schema has no column of this name, or the column does not hold strings."""
    check_column(name, schema.names)
    type = plain_type(schema.field(name).type)
    if not any(is_text(type) for is_text in _TEXT_TYPES):
        raise InputError(f"column {name!r} holds {type}, not strings.")


def check_columns(schema: pa.Schema, text_column: str, kept: Sequence[str] | None) -> None:
    """Raise InputError if the columns of a file cannot be embedded.

    Args:
        schema: The columns.
        text_column: Name of the column of texts, which must exist and hold strings.
        kept: Names of columns, each of which may occur at most once, or None for all columns.
    """
    _check_text_column(text_column, schema)
    for name in (text_column, *(schema.names if kept is None else kept)):
        if schema.names.count(name) > 1:
            raise InputError(
                f"{schema.names.count(name)} columns are named {name!r}; rename them, or do not --keep it."
            )
