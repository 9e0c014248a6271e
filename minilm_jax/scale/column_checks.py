"""Checks that the columns of a job exist and that the column of texts holds strings."""

from collections.abc import Sequence

import pyarrow as pa

from minilm_jax.errors import InputError
from minilm_jax.files.columns import column_problem
from minilm_jax.files.text_types import holds_texts
from minilm_jax.scale.plain_types import plain_type


def check_column(name: str, available: Sequence[str]) -> None:
    """Raise InputError unless exactly one available column has this name."""
    if problem := column_problem(name, available):
        raise InputError(problem)


def check_columns(schema: pa.Schema, text_column: str, kept: Sequence[str] | None) -> None:
    """Raise InputError if the columns of a file cannot be embedded.

    Args:
        schema: The columns.
        text_column: Name of the column of texts, which must exist and hold strings.
        kept: Names of columns, each of which may occur at most once, or None for all columns.
    """
    check_column(text_column, schema.names)
    type = plain_type(schema.field(text_column).type)
    if not holds_texts(type):
        raise InputError(f"column {text_column!r} holds {type}, not strings.")
    for name in schema.names if kept is None else {*kept} & {*schema.names}:
        check_column(name, schema.names)
