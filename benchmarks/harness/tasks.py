"""Tasks that run in the process of a contender; nothing imported here distorts the memory of that process."""

import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers import DeviceModel, Ids, TextModel, TokenModel, Vectors
from minilm_jax.tokens.batching import RaggedIds

_PROCESS_STATUS = Path("/proc/self/status")
_WARM_UP_CALLS = 10

# A model is warm when two passes differ by at most this fraction; on noisy machines, it counts as warm after this many
# passes.
_STEADY, _MOST_PASSES = 0.03, 8

# This many vectors are enough to compare two contenders.
COMPARED = 64


def encode(model: TextModel, texts: Sequence[str]) -> Vectors:
    """Return the vectors of texts, float32[n, D]."""
    return model.encode(texts)


def embed(model: TokenModel, batches: Sequence[Ids]) -> list[Vectors]:
    """Return the vectors of batches of token ids, float32[B, D] each."""
    return model.embed(batches)


def embed_one(model: TokenModel, ids: Ids) -> Vectors:
    """Return the vectors of one batch of token ids, float32[B, D]."""
    return model.embed([ids])[0]


def first_vectors(model: TextModel, texts: Sequence[str]) -> Vectors:
    """Encode all texts and return the first vectors, for a comparison."""
    return model.encode(texts)[:COMPARED]


def place(model: DeviceModel, tokens: RaggedIds, budget: int) -> Vectors:
    """Put token ids on the device, compile for their shapes, and return the first vectors for a comparison."""
    return model.place(tokens, budget)[:COMPARED]


def run(model: DeviceModel) -> None:
    """Compute the vectors of all token ids that were placed on the device."""
    model.run()


def multiply(model: DeviceModel, shape: tuple[int, int, int], calls: int) -> float:
    """Return the mean seconds of a bfloat16 matrix product over several calls."""
    return model.multiply(*shape, calls)


def facts(model: DeviceModel) -> Mapping[str, str]:
    """Return the device and the precision of float32 products, as the library reports them."""
    return model.facts()


def seconds(model: TextModel, task: Callable[..., object], *args: object) -> float:
    """Return the seconds that another task takes."""
    start = time.perf_counter()
    task(model, *args)
    return time.perf_counter() - start


def prepare(model: TextModel) -> None:
    """Let a model prepare for requests, as a service does when it starts, if it has a method for that."""
    getattr(model, "warm_up", lambda: None)()


def warm_up(model: TextModel, texts: Sequence[str], fewest: int = 1) -> None:
    """Encode texts at least `fewest` times, and until two passes take the same time.

    Programs may be compiled in the background, after many tokens.
    """
    for _ in range(fewest - 1):
        encode(model, texts)
    before = seconds(model, encode, texts)
    for _ in range(_MOST_PASSES - 1):
        after = seconds(model, encode, texts)
        if abs(after - before) <= _STEADY * before:
            return
        before = after


def embed_seconds(model: TokenModel, batches: Sequence[Ids], calls: int) -> float:
    """Return the median seconds of several calls, after one batch that is not measured."""
    model.embed(batches[:1])
    return statistics.median(seconds(model, embed, batches) for _ in range(calls))


def latency(model: TextModel, text: str, calls: int) -> tuple[float, float]:
    """Return the median and the 99th percentile of the time of a call with one text, in milliseconds."""
    times = [1e3 * seconds(model, encode, [text]) for _ in range(_WARM_UP_CALLS + calls)][_WARM_UP_CALLS:]
    return float(np.median(times)), float(np.percentile(times, 99))


def memory_megabytes() -> tuple[float, float]:
    """Return the resident memory of this process and its peak; systems that only report the peak give it twice."""
    # On Linux getrusage also counts the memory that the parent held when it started this process.
    peak = _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1e6 if sys.platform == "darwin" else 1e3
    )
    return _status("VmRSS") or peak, peak


def _status(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", _PROCESS_STATUS.read_text()) if _PROCESS_STATUS.exists() else None
    return int(found[1]) * 1024 / 1e6 if found else 0
