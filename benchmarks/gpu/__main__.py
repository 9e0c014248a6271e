"""`python -m benchmarks.gpu`: measure on the GPU, and write `docs/gpu.md` and its data."""

import argparse
import dataclasses
import os
import tempfile
from pathlib import Path

from benchmarks.gpu.contenders import CONTENDERS, HALVES
from benchmarks.gpu.page import PAGE
from benchmarks.harness import command, machine
from benchmarks.harness.results import Report

_PAGE_FILE = command.DOCS / "gpu.md"


def main() -> None:
    """Run the levels, or write the page of an earlier run."""
    parser = command.parser("benchmarks.gpu", __doc__, PAGE.levels, HALVES, _PAGE_FILE)
    parser.add_argument("--model", type=Path, help="a model folder (default: all-MiniLM-L6-v2, downloaded)")
    parser.add_argument(
        "--smoke", action="store_true", help="run a few tokens on any device, print the page, save nothing"
    )
    arguments = parser.parse_args()
    data = arguments.out.with_suffix(".json")
    if arguments.smoke:
        with tempfile.TemporaryDirectory() as folder:
            print(PAGE.render(_measured(arguments, Path(folder) / data.name)))
        return
    report = Report.read(data) if arguments.from_json and data.exists() else Report({})
    if not arguments.from_json:
        report = _measured(arguments, data)
    arguments.out.write_text(PAGE.render(report), "utf-8")


def _measured(arguments: argparse.Namespace, data: Path) -> Report:
    # Processes must not preallocate the GPU's memory, because they share it. Network and progress bars are disabled.
    os.environ.update(XLA_PYTHON_CLIENT_PREALLOCATE="false", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
    os.environ.update(TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="true")
    # These modules are imported here, because each worker imports this file but does not need the levels.
    from benchmarks.gpu.levels import LEVELS, DevicePlan, device_facts
    from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder

    plan = DevicePlan(
        folder=arguments.model or model_folder(DEFAULT_MODEL),
        contenders=CONTENDERS,
        precisions=arguments.precisions,
        rounds=arguments.rounds,
        min_cosine=0.99,
    )
    if arguments.smoke:
        plan = dataclasses.replace(plan, rounds=1, lengths=(16, None), tokens=512, budget=256, square=256)
    report = Report.resume(data, {**machine.describe(), **device_facts(plan)})
    if "(gpu)" not in report.machine["device"] and not arguments.smoke:
        raise SystemExit(
            f"jax found no GPU, only {report.machine['device']}; --smoke runs a little of everything there."
        )
    # All fractions are relative to the fastest product of the same run.
    command.measure({"products": LEVELS["products"]}, plan, {}, report, data)
    rates = [rate for result in report.levels["products"].results for rate in result.values]
    plan = dataclasses.replace(plan, peak=1e12 * max(rates))
    chosen = {key: level for key, level in LEVELS.items() if key in arguments.levels and key != "products"}
    conditions = {"tokens per measurement": f"{plan.tokens:,}", "maximum tokens per call": f"{plan.budget:,}"}
    command.measure(chosen, plan, conditions, report, data)
    return report


if __name__ == "__main__":
    main()
