"""`python -m benchmarks.gpu`: measures on the GPU, and writes `docs/gpu.md` and its data."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine
from benchmarks.gpu.contenders import HALVES
from benchmarks.gpu.page import page
from benchmarks.report import lines
from benchmarks.results import LevelResults, Report

# Imported only where it is measured: the contenders' processes import this file, and are not to hold what we need.
if TYPE_CHECKING:
    from benchmarks.gpu.levels import Plan

_PAGE = Path(__file__).parents[2] / "docs" / "gpu.md"
_LEVELS: Sequence[str] = ("products", "device", "encode")


def main() -> None:
    """Runs the levels, or writes the page of an earlier run."""
    arguments = _arguments()
    data = arguments.out.with_suffix(".json")
    if arguments.smoke:
        with tempfile.TemporaryDirectory() as folder:
            print(page(_measured(arguments, Path(folder) / data.name)))
        return
    report = Report.read(data) if arguments.from_json and data.exists() else Report({})
    if not arguments.from_json:
        report = _measured(arguments, data)
    arguments.out.write_text(page(report), "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--levels", nargs="+", choices=_LEVELS, default=_LEVELS, help="such as device (default: all)")
    parser.add_argument(
        "--precisions", nargs="+", choices=HALVES, default=HALVES, help="such as float16 (default: both)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender is run (default: 5)")
    parser.add_argument("--model", type=Path, help="a model folder (default: all-MiniLM-L6-v2, obtained)")
    parser.add_argument("--out", type=Path, default=_PAGE, help="the page to write (default: docs/gpu.md)")
    parser.add_argument("--from-json", action="store_true", help="write the page anew and measure nothing")
    parser.add_argument(
        "--smoke", action="store_true", help="a few tokens on any device; prints the page, keeps nothing"
    )
    return parser.parse_args()


def _measured(arguments: argparse.Namespace, data: Path) -> Report:
    """Measures level after level; each is kept as soon as it is there, beside those of an earlier run like this one."""
    # All processes share the GPU's memory. Nothing comes from a network, and there are no progress bars.
    os.environ.update(XLA_PYTHON_CLIENT_PREALLOCATE="false", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
    os.environ.update(TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="true")
    from benchmarks.gpu.levels import Plan, facts
    from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder

    plan = Plan(arguments.model or model_folder(DEFAULT_MODEL), arguments.precisions, arguments.rounds)
    if arguments.smoke:
        plan = Plan(plan.folder, plan.precisions, 1, lengths=(16, None), tokens=512, budget=256, square=256)
    report = Report({**machine.describe(), **facts(plan)})
    if "(gpu)" not in report.machine["device"] and not arguments.smoke:
        raise SystemExit(
            f"jax sees no GPU, only {report.machine['device']}; --smoke runs a little of everything there."
        )
    if data.exists() and (before := Report.read(data)).machine == report.machine:
        report = before
    for level in _LEVELS:
        if level == "products" or level in arguments.levels:  # Every fraction is one of a product's rate in this run.
            found = _level(level, plan)
            report.levels[level] = found.after(report.levels[level]) if level in report.levels else found
            report.save(data)
    return report


def _level(level: str, plan: "Plan") -> LevelResults:
    from benchmarks.gpu import levels

    print(f"\n{level}", flush=True)
    results, conditions = [], {**machine.conditions(), "rounds": str(plan.rounds)}
    if level != "products":
        conditions |= {
            "tokens a measurement": f"{plan.tokens:,}",
            "tokens a call, padding included": f"{plan.budget:,}",
        }
    for result in getattr(levels, level)(plan):
        results.append(result)
        *_, cells = lines(level, results)
        print("  ".join((result.precision, *cells)), flush=True)
    notes, plan.notes = plan.notes, []
    return LevelResults(conditions, notes, results)


if __name__ == "__main__":
    main()
