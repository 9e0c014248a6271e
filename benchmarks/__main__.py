"""`python -m benchmarks`: measure on the CPU, and write `docs/benchmarks.md`, its chart and its data."""

import argparse
import importlib
import os
from pathlib import Path

from benchmarks.cpu.contenders import MINILM_JAX, PEERS
from benchmarks.cpu.page import PAGE
from benchmarks.harness import command, machine
from benchmarks.harness.measuring import Plan
from benchmarks.harness.results import Report

_PAGE_FILE = command.DOCS / "benchmarks.md"
_LEVELS = {"a": "kernels", "b": "throughput", "c": "one_sentence", "d": "whole_process", "e": "growth"}
_PRECISIONS = ("float32", "bfloat16", "int8")


def main() -> None:
    """Run the levels, or write the page of an earlier run."""
    parser = command.parser("benchmarks", __doc__, _LEVELS, _PRECISIONS, _PAGE_FILE)
    parser.add_argument("--peers", action="store_true", help="measure the peers too (default: only minilm-jax)")
    parser.add_argument("--fraction", type=float, default=1.0, help="fraction of the texts and calls (default: 1)")
    arguments = parser.parse_args()
    data = arguments.out.with_suffix(".json")
    if not arguments.from_json:
        _measure(arguments, data)
    _write(Report.read(data), arguments.out)


def _measure(arguments: argparse.Namespace, data: Path) -> None:
    # Only the CPU is measured, without network access and without progress bars.
    os.environ.update(JAX_PLATFORMS="cpu", HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TRANSFORMERS_VERBOSITY="error")
    # pip compiled the peers at installation; with this variable, each process would compile minilm-jax again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder

    plan = Plan(
        folder=model_folder(DEFAULT_MODEL),
        contenders=(MINILM_JAX, *PEERS) if arguments.peers else (MINILM_JAX,),
        precisions=arguments.precisions,
        rounds=arguments.rounds,
        fraction=arguments.fraction,
    )
    # These modules are imported here, because each worker imports this file but does not need the levels.
    levels = {key: importlib.import_module(f"benchmarks.cpu.{_LEVELS[key]}").measure for key in arguments.levels}
    conditions = {"fraction of a full run": f"{plan.fraction:.0%}"}
    command.measure(levels, plan, conditions, Report.resume(data, machine.describe()), data)


def _write(report: Report, path: Path) -> None:
    try:
        from benchmarks.harness.plot import draw
    # matplotlib is optional if only minilm-jax is measured.
    except ImportError:
        image = ""
    else:
        image = draw(report, path.with_suffix(".png"))
    path.write_text(PAGE.render(report, image), "utf-8")


if __name__ == "__main__":
    main()
