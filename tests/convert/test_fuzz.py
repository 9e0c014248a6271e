"""Some hundreds of damaged ONNX files; `python -m tests.convert.fuzz` tries as many as wanted."""

import collections

import onnx
import pytest
from hypothesis import given, settings, strategies as st

from tests.convert.fuzz.byte_mutations import varint
from tests.convert.fuzz.mutations import mutate
from tests.convert.fuzz.runner import attempt, failures
from tests.convert.fuzz.seeds import CORPUS, seeds
from tests.helpers.limits import bounded

COUNT = 600


def test_damaged_onnx_files_bring_errors_of_our_own_or_none() -> None:
    found = next(failures(COUNT), None)
    assert found is None, found.report()


def test_what_broke_something_once() -> None:
    for path in sorted(CORPUS.glob("*.onnx")):
        assert attempt(path.read_bytes()) is None, path.name


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_bytes_of_any_kind(data: bytes) -> None:
    assert attempt(data) is None


def test_a_mutation_is_always_the_same_and_changes_the_file() -> None:
    data = next(iter(seeds().values()))
    damaged = [mutate(data, number) for number in range(50)]
    assert damaged == [mutate(data, number) for number in range(50)]
    assert sum(one != data for one in damaged) > 40


def test_varints_are_protobufs() -> None:
    for value in (0, 127, 128, 300, 2**63 - 1):
        assert onnx.ModelProto.FromString(b"\x08" + varint(value)).ir_version == value


def test_the_bounds_hold() -> None:
    with pytest.raises(MemoryError), bounded(megabytes=64):
        bytearray(2**28)
    with pytest.raises(TimeoutError), bounded(seconds=0.1):
        collections.deque(iter(lambda: 0, 1), maxlen=0)
