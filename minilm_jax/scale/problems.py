"""Problems: by row, the reasons why values became null."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from minilm_jax.scale.casts import cast_exactly, is_text
from minilm_jax.scale.plain_types import to_plain


def cast_column(column: pa.Array, field: pa.Field, problems: dict[int, str]) -> pa.Array:
    """Cast a column; values that are not valid or would change become null.

    Args:
        column: Values of any type.
        field: Name of the column, and the plain type to cast to.
        problems: By row, why values became null. New ones are added.

    Returns:
        The values, of the given type.
    """
    column = to_plain(column)
    values = cast_exactly(column, field.type)
    if values.null_count > column.null_count:
        lost = values.is_null().to_numpy(False) & column.is_valid().to_numpy(False)
        for row in np.flatnonzero(lost).tolist():
            add_problem(problems, row, describe(field, _to_python(column[row])))
    return values


def add_problem(problems: dict[int, str], row: int, problem: str) -> None:
    """Record a problem of a row once, even if a column is converted twice."""
    if problem not in problems.get(row, ""):
        problems[row] = f"{problems[row]}; {problem}" if row in problems else problem


def describe(field: pa.Field, value: Any) -> str:
    """Return the problem of a value that does not have the type of its column."""
    expected = f"of type {'string' if is_text(field.type) else field.type}"
    if is_text(field.type) and isinstance(value, str | bytes):
        expected = "valid Unicode"
    return f"{field.name!r} is not {expected}: {json.dumps(value, default=str):.80}"


def problem_column(problems: dict[int, str], rows: int) -> pa.Array:
    """Return a string per row, or null for a row without a problem."""
    if not problems:
        return pa.nulls(rows, pa.string())
    return pa.array([problems.get(row) for row in range(rows)], pa.string())


def _to_python(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeError:
        return scalar.as_buffer().to_pybytes() if is_text(scalar.type) else str(scalar.type)
    except ValueError:  # Python has no such time.
        return str(scalar.cast(pa.string()))
