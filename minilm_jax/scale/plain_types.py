"""Decoding of dictionaries, runs and views to plain columns, which every reader of Parquet supports.

A dictionary column of Parquet cannot be read if the dictionaries of its row groups need larger indices than its type
has, and pyarrow cannot cast or write all combinations of these types.
"""

import numpy as np
import pyarrow as pa

_PLAIN = {
    pa.string_view(): pa.string(),
    pa.binary_view(): pa.binary(),
    # Parquet has days only.
    pa.date64(): pa.date32(),
}
_LIST_TYPES = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType, pa.LargeListViewType)


def is_list(type: pa.DataType) -> bool:
    """Return whether values of a type are lists; maps are not."""
    return isinstance(type, _LIST_TYPES)


def plain_type(type: pa.DataType) -> pa.DataType:
    """Return the type without dictionaries, runs and views, at any depth, whose fields are nullable.

    Args:
        type: Any type.

    Returns:
        The same type if it is plain already.
    """
    if isinstance(type, pa.DictionaryType | pa.RunEndEncodedType):
        return plain_type(type.value_type)
    if isinstance(type, pa.StructType):
        return pa.struct([_plain_field(field) for field in type])
    if isinstance(type, pa.MapType):
        keys = type.key_field.with_type(plain_type(type.key_type))
        return pa.map_(keys, _plain_field(type.item_field), type.keys_sorted)
    if is_list(type):
        return _list_type(type, _plain_field(type.value_field))
    return _PLAIN.get(type, type)


def to_plain(array: pa.Array) -> pa.Array:
    """Decode dictionaries, runs and views at any depth.

    Args:
        array: Values of any type.

    Returns:
        The same values, of the type that `plain_type` returns; dates with a time are kept as they are.
    """
    type = array.type
    if plain_type(type) == type or pa.types.is_date64(type):
        return array
    if isinstance(array, pa.DictionaryArray):
        return to_plain(array.dictionary).take(array.indices)
    if isinstance(array, pa.RunEndEncodedArray):
        rows = np.arange(array.offset, array.offset + len(array))
        return to_plain(array.values).take(pa.array(np.searchsorted(array.run_ends.to_numpy(), rows, side="right")))
    if isinstance(array, pa.StructArray):
        children = [to_plain(child) for child in array.flatten()]
        fields = [_nullable(field, child.type) for field, child in zip(type, children, strict=True)]
        return pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null())
    if isinstance(array, pa.MapArray):
        return _plain_map(array)
    return _plain_lists(array) if is_list(type) else array.cast(plain_type(type))


def _plain_field(field: pa.Field) -> pa.Field:
    return _nullable(field, plain_type(field.type))


def _nullable(field: pa.Field, type: pa.DataType) -> pa.Field:
    return field.with_type(type).with_nullable(True)  # Values that cannot be read become null.


def _list_type(type: pa.DataType, values: pa.Field) -> pa.DataType:
    if isinstance(type, pa.FixedSizeListType):
        return pa.list_(values, type.list_size)
    return pa.large_list(values) if isinstance(type, pa.LargeListType | pa.LargeListViewType) else pa.list_(values)


def _plain_lists(array: pa.Array) -> pa.Array:
    values = to_plain(array.flatten())
    field = _nullable(array.type.value_field, values.type)
    lists = pa.LargeListArray.from_arrays(_offsets(array, pa.int64()), values, type=pa.large_list(field))
    return lists.cast(_list_type(array.type, field))


def _plain_map(array: pa.MapArray) -> pa.MapArray:
    entries = array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field])))
    keys, items = map(to_plain, entries.flatten().flatten())
    key_field, item_field = array.type.key_field.with_type(keys.type), _nullable(array.type.item_field, items.type)
    type = pa.map_(key_field, item_field, array.type.keys_sorted)
    return pa.MapArray.from_arrays(_offsets(entries, pa.int32()), keys, items, type)


def _offsets(lists: pa.Array, type: pa.DataType) -> pa.Array:
    """Return where each list starts and the last one ends in `flatten()`; null for a null list."""
    ends = np.cumsum(lists.value_lengths().fill_null(0).to_numpy())
    return pa.array(np.append(0, ends), type, mask=np.append(lists.is_null().to_numpy(False), False))
