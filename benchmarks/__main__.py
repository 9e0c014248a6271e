"""`python -m benchmarks`: measures, prints what it finds, and writes `docs/benchmarks.md`, its plot and its data."""

import argparse
import importlib
import os
from collections.abc import Callable, Collection
from pathlib import Path

from benchmarks import machine
from benchmarks.lineup import Plan
from benchmarks.report import lines, page
from benchmarks.results import LevelResults, Report

_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_LEVELS = {"a": "kernels", "b": "throughput", "c": "one_sentence", "d": "whole_process", "e": "growth"}
_PRECISIONS = ("float32", "bfloat16", "int8")


def main() -> None:
    """Runs the levels, or writes the page of an earlier run."""
    arguments = _arguments()
    data = arguments.out.with_suffix(".json")
    if not arguments.from_json:
        try:
            _measure(arguments, data)
        except KeyboardInterrupt:
            raise SystemExit(f"\ninterrupted; levels that were finished are kept in {data}") from None
    _write(Report.read(data), arguments.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="measure the peers too (default: minilm-jax alone)")
    parser.add_argument("--levels", type=_some_of(_LEVELS), default=[*_LEVELS], help="such as a,c (default: a,b,c,d,e)")
    parser.add_argument("--precisions", type=_some_of(_PRECISIONS), default=_PRECISIONS, help="such as float32,int8")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender is run (default: 5)")
    parser.add_argument("--fraction", type=float, default=1.0, help="of the texts and calls (default: 1)")
    parser.add_argument("--out", type=Path, default=_PAGE, help="the page to write (default: docs/benchmarks.md)")
    parser.add_argument("--from-json", action="store_true", help="write the page anew and measure nothing")
    return parser.parse_args()


def _some_of(names: Collection[str]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(names):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(names)}")
        return [name for name in names if name in text.split(",")]

    return chosen


def _measure(arguments: argparse.Namespace, data: Path) -> None:
    """Measures level after level; each is kept as soon as it is there, beside those of an earlier run like this one."""
    # What is measured here is the CPU, nothing from a network, and no progress bars.
    os.environ.update(JAX_PLATFORMS="cpu", HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TRANSFORMERS_VERBOSITY="error")
    # pip compiled the peers when it installed them; where this is set, Python would compile us anew in each process.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder

    folder, report = model_folder(DEFAULT_MODEL), Report(machine.describe())
    if data.exists() and (before := Report.read(data)).machine == report.machine:
        report = before
    for level in arguments.levels:
        plan = Plan(folder, arguments.peers, arguments.precisions, arguments.rounds, arguments.fraction)
        found = _level(level, plan)
        report.levels[level] = found.after(report.levels[level]) if level in report.levels else found
        report.save(data)


def _level(level: str, plan: Plan) -> LevelResults:
    print(f"\n{level}: {_LEVELS[level]}", flush=True)
    asked = {"rounds": str(plan.rounds), "of the texts and calls of a full run": f"{plan.fraction:.0%}"}
    conditions = {**machine.conditions(), **asked}
    results = []
    # Imported only here: the contenders' processes import this file, and are not to hold what we need.
    for result in importlib.import_module(f"benchmarks.{_LEVELS[level]}").measure(plan):
        results.append(result)
        *_, cells = lines(level, results)
        print("  ".join((result.precision, *cells)), flush=True)
    return LevelResults(conditions, plan.notes, results)


def _write(report: Report, path: Path) -> None:
    try:
        from benchmarks.plot import draw
    except ImportError:  # Without matplotlib, as where only minilm-jax is measured.
        plot = ""
    else:
        plot = draw(report, path.with_suffix(".png"))
    path.write_text(page(report, plot), "utf-8")


if __name__ == "__main__":
    main()
