"""`python -m benchmarks`: measures, prints the table, and writes `docs/benchmarks.md`."""

import argparse
import os
from pathlib import Path

from benchmarks import machine, one_sentence, report, throughput
from benchmarks.comparison import Comparison

_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def main() -> None:
    """Runs every comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender is run (default: 5)")
    parser.add_argument("--out", type=Path, default=_PAGE, help="the page to write (default: docs/benchmarks.md)")
    arguments = parser.parse_args()
    # What is measured here is the CPU, nothing from a network, and no progress bars.
    os.environ.update(JAX_PLATFORMS="cpu", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
    # pip compiled the peers when it installed them; where this is set, Python would compile us anew in each process.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    from minilm_jax.model_files import DEFAULT_MODEL, model_folder

    folder, before = model_folder(DEFAULT_MODEL), machine.describe()
    comparisons: list[Comparison] = []
    for compare in (one_sentence.compare, throughput.compare):
        for comparison in compare(folder, arguments.rounds):
            print("  ".join(comparison.cells()), flush=True)
            comparisons.append(comparison)
    print(f"\n{report.table(comparisons)}")
    arguments.out.write_text(report.page(comparisons, before, throughput.BATCH_SIZES), "utf-8")


if __name__ == "__main__":
    main()
