"""`python -m benchmarks.conversion`: compare converting a file with loading it; verification is not included."""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx

from benchmarks.harness.measuring import in_turns
from benchmarks.harness.tasks import memory_megabytes
from benchmarks.harness.worker import run_in_process
from convert.default_model import default_onnx_file
from convert.graph.lowering import plain_graph
from convert.onnx_to_flax import to_leaves
from convert.reading.onnx_file import read_onnx
from convert.recognition.bert_layout import recognize
from minilm_jax.checkpoints.weights import save_params
from minilm_jax.nn.params import Params, unflatten

_ROUNDS = 9


def main() -> None:
    """Run each contender in turns, each time in a new process; print medians and ratios to the first."""
    path = default_onnx_file()
    size = path.stat().st_size / 1e6
    found = in_turns({name: lambda name=name: run_in_process(measured, name, path) for name in _CONTENDERS}, _ROUNDS)
    medians = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in found.items()}
    first, _ = next(iter(medians.values()))
    print(f"{path.name}, {size:.1f} MB; medians of {_ROUNDS} processes each, in turns")
    for name, (seconds, peak) in medians.items():
        print(f"{name:28} {seconds:.2f} s  {seconds / first:.2f} ×  peak {peak:.0f} MB  {peak / size:.2f} × the file")


def measured(name: str, path: Path) -> tuple[float, float]:
    """Return the seconds that a contender takes, and its peak memory beyond that of the imports, in MB."""
    resident, _ = memory_megabytes()
    start = time.perf_counter()
    _CONTENDERS[name](path)
    seconds = time.perf_counter() - start
    return seconds, memory_megabytes()[1] - resident


def _load_and_read(path: Path) -> object:
    return onnx.load(path), path.read_bytes()


def _convert(path: Path) -> Params:
    return unflatten(to_leaves(recognize(plain_graph(read_onnx(path).model))))


def _convert_and_save(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_params(_convert(path), f"{folder}/params.safetensors")


_CONTENDERS: Mapping[str, Callable[[Path], object]] = {
    "onnx.load and reading once": _load_and_read,
    "file to tree": _convert,
    "file to params.safetensors": _convert_and_save,
}


if __name__ == "__main__":
    main()
