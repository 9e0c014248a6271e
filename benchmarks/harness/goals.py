"""Goals of the project: bounds on ratios to peers, on rates, and on fractions of the ceiling."""

import dataclasses
import statistics
from collections.abc import Sequence

from benchmarks.harness.results import COSTS, Result


@dataclasses.dataclass(frozen=True)
class Goal:
    """A bound on the median ratio of our value to a peer's: a minimum for rates, a maximum for costs.

    Attributes:
        level: Key of the level.
        peer: First characters of the peer's name.
        bound: Minimum or maximum of the ratio.
        workloads: The goal applies to workloads with one of these in their name.
        precisions: The precisions that it applies to.
    """

    level: str
    peer: str
    bound: float
    workloads: Sequence[str] = ("",)
    precisions: Sequence[str] = ("float32", "bfloat16", "float16", "int8")


_LONG_JOBS = ("3,000 short", "1,500 short and 150 long", "250 long")
_RUNS = ("first run", "second run")

# The first goal that applies to a result is used.
GOALS = (
    Goal("a", "OpenVINO", 1.0, ["1 × 16"], ["float32", "int8"]),
    Goal("a", "OpenVINO", 0.95, ["1 × 16"], ["bfloat16"]),
    Goal("a", "OpenVINO", 1.05, precisions=["bfloat16"]),
    Goal("a", "OpenVINO", 1.0),
    Goal("a", "onnxruntime", 0.91, ["1 × 16"], ["float32"]),
    Goal("a", "onnxruntime", 1.1, precisions=["float32"]),
    Goal("b", "sentence-transformers", 0.67, ["memory after the run"]),
    Goal("b", "OpenVINO", 1.1, ["short", "mixed"], ["bfloat16"]),
    Goal("b", "OpenVINO", 1.0, ["texts"]),
    Goal("b", "sentence-transformers", 1.5, ["texts"]),
    Goal("b", "fastembed", 2.5, ["short"], ["int8"]),
    Goal("b", "fastembed", 3.0, ["short", "mixed"]),
    Goal("b", "fastembed", 1.25, ["long"]),
    Goal("c", "OpenVINO", 1.0, ["median"]),
    Goal("d", "OpenVINO", 1.25, [f"{job} texts, first run" for job in _LONG_JOBS]),
    Goal("d", "OpenVINO", 1.0, [f"{job} texts, second run" for job in _LONG_JOBS]),
    Goal("d", "OpenVINO", 1.15, ["second run"]),
    Goal("d", "sentence-transformers", 0.6, ["run"]),
    Goal("d", "sentence-transformers", 0.67, ["150 long texts, peak memory"]),
    Goal("d", "minilm-jax, float32", 1.0, [f"{job} texts, {run}" for job in _LONG_JOBS[:2] for run in _RUNS]),
    # These are the goals for an H100.
    Goal("device", "sentence-transformers", 2.0),
    Goal("encode", "sentence-transformers", 3.0, precisions=["float16"]),
    Goal("encode", "tokenization only", 0.9),
)

# A minimum fraction of the ceiling is set by level, workload and precision.
CEILINGS = {("a", "32 × 32", "float32"): 0.85}

# A minimum rate on an H100 is set by level and unit.
RATES = {("device", "tokens/s"): 7e6}


def ratio_goal(level: str, ours: Result, theirs: Result) -> str:
    """Return the goal of a ratio and whether it is reached, or "" without a goal."""
    for goal in GOALS:
        if (
            goal.level == level
            and theirs.contender.startswith(goal.peer)
            and theirs.precision in goal.precisions
            and any(part in theirs.workload for part in goal.workloads)
        ):
            ratio, cost = statistics.median(ours.over(theirs)), theirs.unit in COSTS
            reached = ratio <= goal.bound if cost else ratio >= goal.bound
            return f"{'≤' if cost else '≥'} {goal.bound:g} {_mark(reached)}"
    return ""


def own_goal(level: str, ours: Result) -> str:
    """Return the goal of a rate or of a fraction of the ceiling and whether it is reached, or "" without a goal."""
    if rate := RATES.get((level, ours.unit)):
        return f"≥ {rate:,.0f} {_mark(ours.median >= rate)}"
    least = CEILINGS.get((level, ours.workload, ours.precision))
    return f"≥ {least:.0%} {_mark((ours.ceiling or 0) >= least)}" if least and ours.ceiling is not None else ""


def _mark(reached: bool) -> str:
    return "✓" if reached else "✗"
