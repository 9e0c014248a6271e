"""`python -m benchmarks.serving`: measure servers under load, and write `docs/serving-speed.md`."""

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import machine
from benchmarks.harness.command import DOCS
from benchmarks.harness.results import LevelResults, Report, Result
from benchmarks.serving.chart import draw
from benchmarks.serving.goals import Results
from benchmarks.serving.measuring import Settings, measure
from benchmarks.serving.page import LEVEL, render
from benchmarks.serving.servers import INFINITY_PYTHON, infinity_versions

_BUILD = Path(__file__).parents[2] / "build" / "benchmarks" / "serving"
_PAGE_FILE = DOCS / "serving-speed.md"


def main() -> None:
    """Run the measurements, or write the page of an earlier run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each server is measured (default: 3)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each load (default: 4)")
    parser.add_argument("--warm-up", type=int, default=3, help="seconds of the loads before (default: 3)")
    parser.add_argument("--out", type=Path, default=_PAGE_FILE, help="page to write (default: docs/serving-speed.md)")
    parser.add_argument("--from-json", action="store_true", help="write the page from stored results; measure nothing")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    data = arguments.out.with_suffix(".json")
    if not arguments.from_json:
        _measure(arguments).save(data)
    report = Report.read(data)
    image = draw(Results(report.levels[LEVEL].results), arguments.out.with_suffix(".png"))
    arguments.out.write_text(render(report, image), "utf-8")


def _measure(arguments: argparse.Namespace) -> Report:
    _check_programs()
    # Only the CPU is measured, without network access.
    os.environ.update(JAX_PLATFORMS="cpu", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = arguments.seconds
    settings = Settings(_model(), arguments.rounds, seconds, arguments.warm_up)
    versions = ", ".join(f"{name} {version}" for name, version in infinity_versions().items())
    conditions = {**machine.conditions(), "rounds": str(settings.rounds), "seconds of each load": str(seconds)}
    notes = [f"environment of infinity: {versions}"]
    results = [*_printed(measure(settings, notes))]
    return Report(machine.describe(), {LEVEL: LevelResults(conditions, notes, results)})


def _check_programs() -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; install it, for example with `apt-get install wrk`.")
    if not INFINITY_PYTHON.exists():
        raise SystemExit("infinity is not installed; `make bench-serving` creates its environment.")


def _model() -> Path:
    """Return a folder of the model that all servers can load."""
    from minilm_jax.sentence_encoder import SentenceEncoder

    folder = _BUILD / "model"
    if not folder.exists():
        SentenceEncoder().save_pretrained(folder)
    return folder


def _printed(results: Iterator[Result]) -> Iterator[Result]:
    for result in results:
        print(
            f"{result.workload:60} {result.contender:32} {result.precision:8} {result.median:10,.1f} {result.unit}",
            flush=True,
        )
        yield result


if __name__ == "__main__":
    main()
