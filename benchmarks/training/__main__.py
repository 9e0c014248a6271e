"""`python -m benchmarks.training DATA`: fine-tuning compared with sentence-transformers; writes `docs/training.md`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from benchmarks.harness.command import DOCS
from benchmarks.training.page import render
from benchmarks.training.tasks import TASKS

_ROOT = Path(__file__).parents[2]
_LIBRARIES = ("minilm-jax", "sentence-transformers")


def main() -> None:
    """Run the trainings, or write the page of earlier ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="folder of the data sets")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=[*TASKS])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--libraries", nargs="+", choices=_LIBRARIES, default=[*_LIBRARIES])
    parser.add_argument("--out", type=Path, default=DOCS / "training.md", help="page to write")
    arguments = parser.parse_args()
    stored = arguments.out.with_suffix(".json")
    report: dict[str, Any] = json.loads(stored.read_text("utf-8")) if stored.exists() else {"runs": {}}
    if arguments.data:
        report["machine"], report["conditions"] = machine.describe(), machine.conditions()
        with tempfile.TemporaryDirectory() as folder:
            _save_model(Path(folder))
            # The libraries take turns, so that both see the same load of the machine.
            for task in arguments.tasks:
                for seed in range(arguments.seeds):
                    for library in arguments.libraries:
                        found = _run(library, task, seed, arguments.data, Path(folder))
                        report["runs"].setdefault(task, {}).setdefault(library, {})[str(seed)] = found
                        stored.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    arguments.out.write_text(render(report), "utf-8")


def _save_model(folder: Path) -> None:
    from minilm_jax.sentence_encoder import SentenceEncoder

    SentenceEncoder().save_pretrained(folder)


def _run(library: str, task: str, seed: int, data: Path, folder: Path) -> dict[str, Any]:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "benchmarks.training.one", library, task, str(seed), str(data), str(folder)]
    output = subprocess.run(command, cwd=_ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(output.splitlines()[-1])
    print(task, library, seed, found, flush=True)
    return found


if __name__ == "__main__":
    main()
