"""The types of Arrow columns that hold texts; only readers that need pyarrow import this module."""

import pyarrow as pa

_IS_TEXT = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_null,
)


def holds_texts(type: pa.DataType) -> bool:
    """Return whether a column of a type, or a dictionary of its values, holds strings or their bytes."""
    if isinstance(type, pa.DictionaryType):
        type = type.value_type
    return any(is_text(type) for is_text in _IS_TEXT)
