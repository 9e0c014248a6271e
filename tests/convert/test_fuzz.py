"""Damaged ONNX files, a few hundred of them; `python -m tests.convert.fuzz` tries any number."""

import subprocess
import sys

import onnx
from hypothesis import given, settings, strategies as st

from tests.convert.fuzz.byte_mutations import varint
from tests.convert.fuzz.mutations import mutate
from tests.convert.fuzz.runner import attempt, failures
from tests.convert.fuzz.seeds import CORPUS, seeds
from tests.helpers.paths import ROOT

COUNT = 600

_EXCEED_LIMITS = """
import collections
import pytest
from tests.helpers.limits import bounded

with pytest.raises(MemoryError), bounded(megabytes=64):
    bytearray(2**28)
with pytest.raises(TimeoutError), bounded(seconds=0.1):
    collections.deque(iter(lambda: 0, 1), maxlen=0)
"""


def test_damaged_onnx_files_raise_only_errors_of_minilm_jax() -> None:
    found = next(failures(COUNT), None)
    assert found is None, found.report()


def test_files_that_once_failed_raise_only_errors_of_minilm_jax() -> None:
    for path in sorted(CORPUS.glob("*.onnx")):
        assert attempt(path.read_bytes()) is None, path.name


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_random_bytes_raise_only_errors_of_minilm_jax(data: bytes) -> None:
    assert attempt(data) is None


def test_mutation_is_deterministic_and_usually_changes_the_file() -> None:
    data = next(iter(seeds().values()))
    damaged = [mutate(data, number) for number in range(50)]
    assert damaged == [mutate(data, number) for number in range(50)]
    assert sum(one != data for one in damaged) > 40


def test_varint_is_encoded_as_in_protobuf() -> None:
    for value in (0, 127, 128, 300, 2**63 - 1):
        assert onnx.ModelProto.FromString(b"\x08" + varint(value)).ir_version == value


def test_limits_on_memory_and_time_are_enforced() -> None:
    # In another process, because threads that earlier tests started may free memory here at any time.
    subprocess.run([sys.executable, "-c", _EXCEED_LIMITS], check=True, cwd=ROOT)
