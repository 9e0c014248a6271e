"""The choice of the column of texts among the columns of a file."""

from collections.abc import Sequence

from minilm_jax.errors import did_you_mean

_DELIMITERS = ",;\t|"


def header_problem(name: str, header: Sequence[str], delimiter: str) -> str | None:
    """Return why a column of a CSV file cannot be read, or None; see `column_problem`."""
    others = [other for other in _DELIMITERS if other != delimiter and other in header[0]] if len(header) == 1 else []
    if name in header or not others:
        return column_problem(name, header)
    other = max(others, key=header[0].count)
    shown = "tab" if other == "\t" else repr(other)
    return f"the header is one column, {header[0]!r}; pass --delimiter {shown}."


def column_problem(name: str, names: Sequence[str], kind: str = "column") -> str | None:
    """Return why a column cannot be read, or None.

    Args:
        name: Name of the column.
        names: Names of all columns.
        kind: What the file calls its columns.
    """
    if names.count(name) == 1:
        return None
    if name in names:
        return f"{names.count(name)} {kind}s are named {name!r}; rename all but one."
    available = ", ".join(map(repr, names)) or "none"
    return f"no {kind} {name!r}; available: {available}.{did_you_mean(name, names)}"
