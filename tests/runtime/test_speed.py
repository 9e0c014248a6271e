"""`minilm-jax bench` counts operations and measures every precision at every shape; no test depends on elapsed time."""

import dataclasses

import pytest
from click.testing import CliRunner

import minilm_jax as mj
from minilm_jax.cli import bench_processes, main
from minilm_jax.runtime import speed
from tests.helpers.tiny_model import TINY, random_params


def test_operations_count_weights_and_attention() -> None:
    # The kernels have 10.6 million weights; each of 6 layers computes Q Kᵀ and the weighted sum of values.
    assert speed.operations(mj.ALL_MINILM_L6_V2, 1, 1) == 2 * 10_616_832 + 6 * 2 * 2 * 384
    assert speed.operations(mj.ALL_MINILM_L6_V2, 3, 100) == 3 * 100 * (2 * 10_616_832 + 9_216 * 100)


def test_measure_yields_every_precision_at_every_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SHAPES", ((2, 8), (1, 8)))  # Each shape is compiled in each precision.
    config = dataclasses.replace(TINY, num_hidden_layers=1)
    measured = list(speed.measure(random_params(config, seed=0), config))
    assert {(one.precision, one.shape) for one in measured} == {
        (precision, shape) for precision in ("float32", "bfloat16", "int8") for shape in speed.SHAPES
    }
    for one in measured:
        assert one.seconds > 0
        assert one.ceiling > 0
        assert one.tokens_per_second == one.texts_per_second * one.shape[1]


def test_bench_command_prints_one_line_per_result(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = bench_processes.Runs("float32", 3_000, 15.21, 6.04)
    monkeypatch.setattr(bench_processes, "measure", lambda model, revision: iter([runs]))
    monkeypatch.setattr(speed, "measure", lambda params, config: iter([speed.Speed("int8", (8, 256), 0.1, 0.5)]))
    result = CliRunner().invoke(main, ["bench"])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert lines[-4] == ["int8", "8", "×", "256", "20,480", "80", "100.0", "50%"]
    assert lines[-1] == ["float32", "3,000", "15.2", "s", "6.0", "s"]
