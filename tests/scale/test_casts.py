"""Casts between all types of pyarrow: each value survives, judged by Python's exact arithmetic, or is rejected."""

import datetime
import json
import math
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from minilm_jax.scale.casts import cast_exactly
from minilm_jax.scale.problems import cast_column

UTC = datetime.UTC
_SECONDS = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)).map(
    lambda time: time.replace(microsecond=0)
)
_MICROSECONDS = st.datetimes() | _SECONDS
_NUMERALS = st.sampled_from(
    [
        "0", "-0", "7", "007", "+5", "1.50", ".5", "1e3", "0x10", "nan", "inf", "-inf", "1e400", "0.1", "16777217", "",
        "9007199254740993", "12345678901234567890.5", "255", "1_0", "65504", "2024-01-01", "12:30", "true", "ü",
    ]
)  # fmt: skip
_SPANS = st.timedeltas(datetime.timedelta(days=-100_000_000), datetime.timedelta(days=100_000_000))


def _integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high) | st.sampled_from([0, 1, 7, high, low])


def _decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    limit = 10**digits - 1
    return st.integers(-limit, limit).map(lambda number: Decimal(f"{number}e{-places}"))


# The values of each type, as Python objects.
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.null(): st.none(),
    pa.bool_(): st.booleans(),
    **{getattr(pa, f"int{bits}")(): _integers(bits, True) for bits in (8, 16, 32, 64)},
    **{getattr(pa, f"uint{bits}")(): _integers(bits, False) for bits in (8, 16, 32, 64)},
    pa.float16(): st.floats(width=16),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats() | st.sampled_from([1e10, 0.1, -0.0, 65504.0]),
    pa.decimal128(5, 2): _decimals(5, 2),
    pa.decimal128(38, 0): _decimals(38, 0) | _decimals(5, 0),
    pa.decimal256(60, 10): _decimals(20, 10),
    pa.string(): st.text(max_size=3) | _NUMERALS,
    pa.large_string(): st.text(max_size=3) | _NUMERALS,
    pa.binary(): st.binary(max_size=3),
    pa.large_binary(): st.binary(max_size=3),
    pa.binary(2): st.binary(min_size=2, max_size=2),
    pa.date32(): st.dates(),
    pa.timestamp("s"): _SECONDS,
    pa.timestamp("us"): _MICROSECONDS,
    pa.timestamp("ns"): _SECONDS,
    pa.timestamp("s", "UTC"): _SECONDS.map(lambda time: time.replace(tzinfo=UTC)),
    pa.timestamp("us", "Europe/Berlin"): _SECONDS.map(lambda time: time.replace(tzinfo=UTC)),
    pa.time32("s"): st.times().map(lambda time: time.replace(microsecond=0)),
    pa.time64("us"): st.times(),
    pa.duration("s"): _SPANS.map(lambda span: datetime.timedelta(span.days, span.seconds)),
    pa.duration("us"): _SPANS,
}
_INTEGER_LISTS = st.lists(st.none() | _integers(64, True), max_size=3)
NESTED: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.list_(pa.int8()): st.lists(st.none() | _integers(8, True), max_size=3),
    pa.list_(pa.int64()): _INTEGER_LISTS,
    pa.large_list(pa.int64()): _INTEGER_LISTS,
    pa.list_(pa.int16(), 2): st.lists(_integers(16, True), min_size=2, max_size=2),
    pa.list_(pa.float32()): st.lists(st.floats(width=32), max_size=3),
    pa.list_(pa.list_(pa.float64())): st.lists(st.none() | st.lists(st.floats(), max_size=2), max_size=2),
    pa.struct({"a": pa.int32()}): st.fixed_dictionaries({"a": st.none() | _integers(32, True)}),
    pa.struct({"b": pa.string(), "a": pa.int64()}): st.fixed_dictionaries(
        {"b": st.none() | st.text(max_size=2), "a": st.none() | _integers(64, True)}
    ),
    pa.list_(pa.struct({"a": pa.float64(), "c": pa.bool_()})): st.lists(
        st.fixed_dictionaries({"a": st.none() | st.floats(), "c": st.none() | st.booleans()}), max_size=2
    ),
    pa.map_(pa.string(), pa.int64()): st.lists(st.tuples(st.text(max_size=1), _integers(64, True)), max_size=2),
    pa.map_(pa.string(), pa.int8()): st.lists(st.tuples(st.text(max_size=1), _integers(8, True)), max_size=2),
}
ALL = {**VALUES, **NESTED}


def is_same(before: Any, after: Any) -> bool:
    """Return whether a cast value means the same, without using pyarrow."""
    if before is None or after is None:
        return before is None and after is None
    if isinstance(before, dict) and isinstance(after, dict):
        names = before.keys() | after.keys()
        return all(is_same(before.get(name), after.get(name)) for name in names)
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return len(before) == len(after) and all(map(is_same, before, after))
    if isinstance(before, str) != isinstance(after, str):
        return is_spelling(before, after) if isinstance(before, str) else is_spelling(after, before, exactly=True)
    if isinstance(before, int | float | Decimal) and isinstance(after, int | float | Decimal):
        return is_same_number(before, after)
    if isinstance(before, datetime.date) and isinstance(after, datetime.date):
        return as_time(before) == as_time(after) and has_zone(before) == has_zone(after)
    return type(before) is type(after) and before == after


def is_same_number(before: Any, after: Any) -> bool:
    if not math.isfinite(before) or not math.isfinite(after):
        return str(float(before)) == str(float(after))
    if isinstance(before, float) != isinstance(after, float) and Decimal in (type(before), type(after)):
        # A decimal is the shortest spelling of a float in the precision of the float.
        return any(Decimal(repr(f)) == d for f, d in ((before, after), (after, before)) if isinstance(f, float)) or (
            Fraction(before) == Fraction(after) or is_float32_spelling(before, after)
        )
    is_negative_zero = [isinstance(x, float) and x == 0 and math.copysign(1, x) < 0 for x in (before, after)]
    return Fraction(before) == Fraction(after) and is_negative_zero[0] <= is_negative_zero[1]


def is_float32_spelling(first: Any, second: Any) -> bool:
    number, text = (first, second) if isinstance(first, float) else (second, first)
    try:
        return number in (struct.unpack(code, struct.pack(code, text))[0] for code in ("f", "e"))
    except OverflowError:
        return False


def as_time(value: datetime.date) -> datetime.datetime:
    if not isinstance(value, datetime.datetime):
        return datetime.datetime.combine(value, datetime.time())
    return value.astimezone(UTC) if value.tzinfo else value


def has_zone(value: datetime.date) -> bool:
    return isinstance(value, datetime.datetime) and value.tzinfo is not None


def is_spelling(text: str, value: Any, exactly: bool = False) -> bool:
    if isinstance(value, bytes):
        return text.encode() == value
    if isinstance(value, bool):
        return text.lower() in ({"true", "1"} if value else {"false", "0"})
    if isinstance(value, int | float | Decimal):
        is_code = text.lstrip("+-")[:1] == "0" and text.lstrip("+-")[1:2].isdigit()
        return not is_code and is_same_number(Decimal(text) if "n" not in text else float(text), value)
    if isinstance(value, datetime.datetime):
        time = datetime.datetime.fromisoformat(text)
        return as_time(time) == as_time(value) and has_zone(time) == has_zone(value)
    if isinstance(value, datetime.date | datetime.time):
        return type(value).fromisoformat(text) == value
    return text == (str(value) if isinstance(value, datetime.timedelta) else json.dumps(value))


@st.composite
def casts(draw: st.DrawFn, types: dict[pa.DataType, st.SearchStrategy[Any]]) -> tuple[pa.Array, pa.DataType]:
    source, target = draw(st.sampled_from(list(types))), draw(st.sampled_from(list(types)))
    values = draw(st.lists(st.none() | types[source], min_size=1, max_size=8))
    array = pa.array(values, source)
    return array[draw(st.integers(0, 1)) :], target


@settings(max_examples=500, deadline=None)
@given(casts(VALUES))
def test_scalars_survive_or_are_rejected(case: tuple[pa.Array, pa.DataType]) -> None:
    assert_survives_or_is_rejected(*case)


@settings(max_examples=200, deadline=None)
@given(casts(NESTED) | casts(ALL))
def test_nested_values_survive_or_are_rejected(case: tuple[pa.Array, pa.DataType]) -> None:
    assert_survives_or_is_rejected(*case)


def assert_survives_or_is_rejected(array: pa.Array, target: pa.DataType) -> None:
    problems: dict[int, str] = {}
    values = cast_column(array, pa.field("x", target), problems)
    values.validate(full=True)
    assert values.type == target
    for row, (before, after) in enumerate(zip(array.to_pylist(), values.to_pylist(), strict=True)):
        assert (row in problems) == (before is not None and after is None)
        assert row in problems or is_same(before, after), (before, after)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_own_type_and_text_accept_every_value(data: st.DataObject) -> None:
    type = data.draw(st.sampled_from(list(ALL)))
    array = pa.array(data.draw(st.lists(st.none() | ALL[type], max_size=8)), type)
    assert cast_exactly(array, type).equals(array) or "nan" in str(array.to_pylist())
    if "binary" not in str(type):  # Bytes may not be UTF-8.
        assert cast_exactly(array, pa.string()).null_count == array.null_count


WIDER = [
    (pa.int8(), pa.int64()),
    (pa.uint8(), pa.int16()),
    (pa.uint32(), pa.int64()),
    (pa.uint64(), pa.decimal128(20)),
    (pa.int64(), pa.decimal128(19)),
    (pa.int32(), pa.float64()),
    (pa.float16(), pa.float32()),
    (pa.float32(), pa.float64()),
    (pa.bool_(), pa.int8()),
    (pa.date32(), pa.timestamp("us")),
    (pa.timestamp("s"), pa.timestamp("us")),
    (pa.timestamp("us", "Europe/Berlin"), pa.timestamp("us", "UTC")),
]


@pytest.mark.parametrize(("narrow", "wide"), WIDER, ids=str)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_wider_type_accepts_every_value(narrow: pa.DataType, wide: pa.DataType, data: st.DataObject) -> None:
    array = pa.array(data.draw(st.lists(st.none() | VALUES[narrow], max_size=8)), narrow)
    assert cast_exactly(array, wide).null_count == array.null_count


NOON, MIDNIGHT = datetime.datetime(2024, 1, 1, 12), datetime.datetime(2024, 1, 2)
MAP = pa.map_(pa.string(), pa.int64())
LOSSES = [
    (pa.array([{"a": 1, "b": 2}, {"a": 3, "b": None}]), pa.struct({"a": pa.int64()}), [None, {"a": 3}]),
    (pa.array([1e10, 1.5, -0.0]), pa.float16(), [None, 1.5, -0.0]),
    (pa.array([NOON, MIDNIGHT]), pa.date32(), [None, MIDNIGHT.date()]),
    (pa.array([7, 1, 0]), pa.bool_(), [None, True, False]),
    (pa.array([Decimal("12345678901234567890"), Decimal("0.5")]), pa.float64(), [None, 0.5]),
    (pa.array([2**40, 1, None]), pa.int32(), [None, 1, None]),
    (pa.array([0.1, 0.5]), pa.float32(), [None, 0.5]),
    (pa.array(["007", "7", "1.50"]), pa.float64(), [None, 7.0, 1.5]),
    (pa.array([2**63, 1], pa.uint64()), pa.int64(), [None, 1]),
    (pa.array([NOON]), pa.timestamp("us", "UTC"), [None]),
    (pa.array([1]), pa.timestamp("us"), [None]),
    (pa.array([[1, 2**40], [3], None]), pa.list_(pa.int32()), [None, [3], None]),
    (pa.array([[("k", 1)], [("k", 300)]], MAP), pa.map_(pa.string(), pa.int8()), [[("k", 1)], None]),
    (pa.array([1, -5, 10**4]), pa.decimal128(5, 2), [Decimal("1.00"), Decimal("-5.00"), None]),
    (pa.array([86_400_000, 1], pa.date64()), pa.date32(), [datetime.date(1970, 1, 2), None]),
    (pa.array([b"\xffa", b"a"]).view(pa.string()), pa.string(), [None, "a"]),
]  # fmt: skip


@pytest.mark.parametrize(("array", "target", "expected"), LOSSES, ids=str)
def test_value_that_would_change_becomes_null(array: pa.Array, target: pa.DataType, expected: list[Any]) -> None:
    problems: dict[int, str] = {}
    values = cast_column(array, pa.field("x", target), problems)
    assert str(values.to_pylist()) == str(expected)
    assert len(problems) == values.null_count - array.null_count
    assert all(problem.startswith("'x' is not ") for problem in problems.values())
