"""The choice of the column of texts among the columns of a file."""

from collections.abc import Sequence

from minilm_jax.errors import did_you_mean


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
