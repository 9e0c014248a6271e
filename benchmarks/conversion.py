"""`python -m benchmarks.conversion`: what converting a file costs beside loading and reading it, the proof apart."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

_ROUNDS = 9

_MEASURED = """
import json, pathlib, re, sys, time

def megabytes(what):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(what + r":\\s+(\\d+)", status)[1]) / 1e3

{imports}
path, before, start = sys.argv[1], megabytes("VmRSS"), time.perf_counter()
{work}
print(json.dumps([time.perf_counter() - start, megabytes("VmHWM") - before]))
"""
_CONTENDERS = {
    "onnx.load and reading once": _MEASURED.format(
        imports="import onnx", work="model = onnx.load(path); data = pathlib.Path(path).read_bytes()"
    ),
    "file to tree": _MEASURED.format(
        imports="from convert.recognition.bert_layout import recognise; from convert.graph.lowering import plain_graph;"
        "from convert.reading.onnx_file import read_onnx; from convert.onnx_to_flax import to_params",
        work="params = to_params(recognise(plain_graph(read_onnx(path).model)))",
    ),
    "file to params.safetensors": _MEASURED.format(
        imports="import tempfile; from convert.recognition.bert_layout import recognise;"
        "from convert.graph.lowering import plain_graph;"
        "from convert.reading.onnx_file import read_onnx; from convert.onnx_to_flax import to_params;"
        "from minilm_jax.checkpoints.weights import save_params; import safetensors.numpy",
        work="with tempfile.TemporaryDirectory() as folder:"
        " save_params(to_params(recognise(plain_graph(read_onnx(path).model))), folder + '/params.safetensors')",
    ),
}


def main() -> None:
    """Runs the contenders in turns, each time in a new process, and prints medians and ratios to the first."""
    from convert.default_model import default_onnx_file

    path = default_onnx_file()
    size = path.stat().st_size / 1e6
    found = {name: [] for name in _CONTENDERS}
    for _ in range(_ROUNDS):
        for name, code in _CONTENDERS.items():
            found[name].append(_run(code, path))
    print(f"{path.name}, {size:.1f} MB; medians of {_ROUNDS} processes each, in turns")
    first = statistics.median(seconds for seconds, _ in next(iter(found.values())))
    for name, runs in found.items():
        seconds, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:28} {seconds:.2f} s  {seconds / first:.2f} ×  peak {peak:.0f} MB  {peak / size:.2f} × the file")


def _run(code: str, path: Path) -> tuple[float, float]:
    output = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True, text=True)
    seconds, megabytes = json.loads(output.stdout)
    return seconds, megabytes


if __name__ == "__main__":
    main()
