"""Casts of columns in which each value either stays the same or becomes null with a recorded problem.

The cast of a value is exact if casting it back gives the same value. pyarrow's own casts also drop the time of a
timestamp, the fields of a struct, and the digits of a decimal.
"""

import datetime
import decimal
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from minilm_jax.scale.plain_types import is_list, to_plain

# pyarrow raises these exceptions for values that do not fit a type.
CONVERSION_ERRORS = (
    pa.ArrowInvalid,
    pa.ArrowTypeError,
    UnicodeError,
    OverflowError,
    ValueError,
)
# A column in which some values do not fit is split into this many parts, until each part fits or is one value.
_PARTS = 16
_EPOCH = datetime.date(1970, 1, 1).isoformat()
# Digits after a zero are a code, such as a postal code, and not a number.
_CODE = re.compile(r"[+-]?0\d")
# Types are compared within these groups; any of them can also be written as text.
_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "number": lambda type: pa.types.is_boolean(type) or _is_number(type),
    "bytes": lambda type: pa.types.is_binary(type) or pa.types.is_large_binary(type) or _is_fixed(type),
    "local time": lambda type: pa.types.is_date(type) or (pa.types.is_timestamp(type) and type.tz is None),
    "instant": lambda type: pa.types.is_timestamp(type) and type.tz is not None,
    "time of day": pa.types.is_time,
    "duration": pa.types.is_duration,
    "text": lambda type: is_text(type),
}


def cast_exactly(array: pa.Array, type: pa.DataType) -> pa.Array:
    """Cast an array.

    Args:
        array: Values of any type.
        type: Type to cast to, a plain one.

    Returns:
        The values; those that are not valid or would change are null.
    """
    array = to_plain(array)
    try:
        values, kept = _cast(array, type)
    except pa.ArrowNotImplementedError:
        # pyarrow has no list of its casts. It raises this for a pair of types, whatever the values; then none of them
        # can be cast.
        return pa.nulls(len(array), type)
    except CONVERSION_ERRORS:
        if len(array) < 2:
            return pa.nulls(len(array), type)
        # Slices are not enough: casts of maps also read the values outside of a slice.
        parts = np.array_split(np.arange(len(array)), min(len(array), _PARTS))
        return pa.concat_arrays([cast_exactly(array.take(pa.array(part)), type) for part in parts])
    return values if kept is None or kept.all() else values.take(pa.array(np.arange(len(array)), mask=~kept))


def is_text(type: pa.DataType) -> bool:
    """Return whether values of a type are strings."""
    return pa.types.is_string(type) or pa.types.is_large_string(type)


def _cast(array: pa.Array, type: pa.DataType) -> tuple[pa.Array, NDArray[np.bool_] | None]:
    if is_text(array.type) or pa.types.is_nested(array.type):
        array.validate(full=True)  # Readers do not check whether strings are valid UTF-8.
    if array.type == type:
        return array, None
    values = _convert(array, type)
    return values, _unchanged(array, values)


def _convert(array: pa.Array, type: pa.DataType) -> pa.Array:
    if is_text(type) and not _has_text_form(array.type):
        return pa.array(map(_to_text, array.to_pylist()), type)
    if is_text(type) and _kind(array.type) == "instant":
        array = array.cast(pa.timestamp(array.type.unit, "UTC"))  # Text has no seconds in the offsets of zones.
    if pa.types.is_decimal(type) and _is_number(array.type) and not pa.types.is_decimal(array.type):
        array = array.cast(pa.string())  # The direct cast needs room for all numbers of the other type.
    if pa.types.is_time(type) and is_text(array.type):
        times = [None if time is None else f"{_EPOCH} {time}" for time in array.to_pylist()]
        array = pa.array(times, pa.string()).cast(pa.timestamp(type.unit))
    return array.cast(type)


def _unchanged(before: pa.Array, after: pa.Array) -> NDArray[np.bool_]:
    """Return which values of a cast have the same meaning as before; null stays null."""
    if pa.types.is_struct(before.type) and pa.types.is_struct(after.type):
        same = _unchanged_fields(before, after)
    elif is_list(before.type) and is_list(after.type):
        same = np.ones(len(before), bool)
        parents = before.value_parent_indices().to_numpy()
        same[parents[~_unchanged(before.flatten(), after.flatten())]] = False
    elif pa.types.is_map(before.type) and pa.types.is_map(after.type):
        return _unchanged(_entries(before), _entries(after))
    elif is_text(after.type) and not _has_text_form(before.type):
        same = np.ones(len(before), bool)
    elif (kind := _kind(before.type)) and (kind == _kind(after.type) or is_text(before.type) or is_text(after.type)):
        same = _unchanged_values(before, after)
    else:
        same = np.zeros(len(before), bool)
    return before.is_null().to_numpy(False) | (same & after.is_valid().to_numpy(False))


def _unchanged_fields(before: pa.StructArray, after: pa.StructArray) -> NDArray[np.bool_]:
    casts = {field.name: child for field, child in zip(after.type, after.flatten(), strict=True)}
    same = np.ones(len(before), bool)
    for field, child in zip(before.type, before.flatten(), strict=True):
        cast = casts.get(field.name)
        same &= child.is_null().to_numpy(False) if cast is None else _unchanged(child, cast)
    return same


def _entries(maps: pa.Array) -> pa.Array:
    return maps.cast(pa.list_(pa.struct([("key", maps.type.key_type), ("value", maps.type.item_type)])))


def _unchanged_values(before: pa.Array, after: pa.Array) -> NDArray[np.bool_]:
    if is_text(before.type):
        return _is_spelling(before, after) if _is_number(after.type) else np.ones(len(before), bool)
    back = _convert(after, before.type)
    if not pa.types.is_floating(before.type):
        return _equal(before, back)
    old, new = (values.cast(pa.float64()).to_numpy(False) for values in (before, back))
    return (old.view(np.int64) == new.view(np.int64)) | (np.isnan(old) & np.isnan(new))


def _is_spelling(texts: pa.Array, numbers: pa.Array) -> NDArray[np.bool_]:
    """Return which texts have no other digits than the numbers; "007" is not a spelling of 7, but "1.50" of 1.5."""
    same = _equal(texts, numbers.cast(texts.type))
    if not pa.types.is_integer(numbers.type):
        rows = np.flatnonzero(~same & numbers.is_valid().to_numpy(False))
        values = numbers.take(pa.array(rows)).to_pylist()
        if pa.types.is_floating(numbers.type):
            values = map(numbers.type.to_pandas_dtype(), values)  # The shortest spelling depends on the precision.
        same[rows] = [*map(_spells, texts.take(pa.array(rows)).to_pylist(), map(str, values))]
    return same


def _spells(text: str, number: str) -> bool:
    if text == number:
        return True
    given, stored = decimal.Decimal(text), decimal.Decimal(number)
    return not _CODE.match(text) and (given == stored or (given.is_nan() and stored.is_nan()))


def _equal(before: pa.Array, after: pa.Array) -> NDArray[np.bool_]:
    return pc.call_function("equal", [before, after]).fill_null(False).to_numpy(False)


def _is_number(type: pa.DataType) -> bool:
    return pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type)


def _is_fixed(type: pa.DataType) -> bool:
    return pa.types.is_fixed_size_binary(type)


def _has_text_form(type: pa.DataType) -> bool:
    return _kind(type) not in (None, "duration") or pa.types.is_null(type)


def _kind(type: pa.DataType) -> str | None:
    return next((kind for kind, is_kind in _KINDS.items() if is_kind(type)), None)


def _to_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)
