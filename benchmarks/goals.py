"""What the project wants of the measurements: ratios to peers, and fractions of the ceiling."""

import dataclasses
import statistics
from collections.abc import Sequence

from benchmarks.results import COSTS, Result


@dataclasses.dataclass(frozen=True)
class Goal:
    """A bound on the median ratio of ours to a peer's: at least that much of a rate, at most that much of a cost.

    Attributes:
        level: The level's letter, or of those on a GPU its name.
        peer: How the peer's name begins.
        bound: Of the ratio.
        what: What has to keep it, by a word in its name; everything by default.
        precisions: In what it has to be kept.
    """

    level: str
    peer: str
    bound: float
    what: Sequence[str] = ("",)
    precisions: Sequence[str] = ("float32", "bfloat16", "float16", "int8")


# The first that fits counts.
GOALS = (
    Goal("a", "OpenVINO", 1.0, ["1 × 16"], ["float32", "int8"]),
    Goal("a", "OpenVINO", 0.95, ["1 × 16"], ["bfloat16"]),
    Goal("a", "OpenVINO", 1.05, precisions=["bfloat16"]),
    Goal("a", "OpenVINO", 1.0),
    Goal("a", "onnxruntime", 0.91, ["1 × 16"], ["float32"]),
    Goal("a", "onnxruntime", 1.1, precisions=["float32"]),
    Goal("b", "sentence-transformers", 0.67, ["memory afterwards"]),
    Goal("b", "OpenVINO", 1.1, ["short", "mixed"]),
    Goal("b", "OpenVINO", 1.0, ["long"]),
    Goal("b", "sentence-transformers", 1.5, ["texts"]),
    Goal("b", "fastembed", 2.5, ["short"], ["int8"]),
    Goal("b", "fastembed", 3.0, ["short", "mixed"]),
    Goal("b", "fastembed", 1.25, ["long"]),
    Goal("c", "OpenVINO", 1.0, ["median"]),
    Goal("d", "`import jax, flax`", 1.3, ["second run"]),
    # On an H100.
    Goal("device", "sentence-transformers", 2.0),
    Goal("encode", "sentence-transformers", 3.0, precisions=["float16"]),
    Goal("encode", "tokenizing alone", 0.9),
)

# Level, what, precision: the least fraction of the ceiling that ours should reach.
CEILINGS = {("a", "32 × 32", "float32"): 0.85}

# Level and unit: the least that ours should reach, on an H100.
RATES = {("device", "tokens/s"): 7e6}


def ratio_goal(level: str, ours: Result, theirs: Result) -> str:
    """Returns the goal of a ratio and whether it is reached, or nothing."""
    for goal in GOALS:
        if (
            goal.level == level
            and theirs.contender.startswith(goal.peer)
            and theirs.precision in goal.precisions
            and any(word in theirs.what for word in goal.what)
        ):
            ratio, cost = statistics.median(ours.over(theirs)), theirs.unit in COSTS
            return (
                f"{'≤' if cost else '≥'} {goal.bound:g} {_mark(ratio <= goal.bound if cost else ratio >= goal.bound)}"
            )
    return ""


def own_goal(level: str, ours: Result) -> str:
    """Returns the goal of a rate or of a fraction of the ceiling and whether it is reached, or nothing."""
    if rate := RATES.get((level, ours.unit)):
        return f"≥ {rate:,.0f} {_mark(ours.median >= rate)}"
    least = CEILINGS.get((level, ours.what, ours.precision))
    return f"≥ {least:.0%} {_mark((ours.ceiling or 0) >= least)}" if least and ours.ceiling is not None else ""


def _mark(reached: bool) -> str:
    return "✓" if reached else "✗"
