"""The command line and the loop over levels, for CPU and GPU alike."""

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from benchmarks.harness.measuring import Plan
from benchmarks.harness.report import lines
from benchmarks.harness.results import LevelResults, Report, Result

DOCS = Path(__file__).parents[2] / "docs"


def parser(
    prog: str, description: str | None, levels: Collection[str], precisions: Collection[str], page: Path
) -> argparse.ArgumentParser:
    """Return a parser of the options that CPU and GPU have in common.

    Args:
        prog: The command.
        description: Its help text.
        levels: Keys of all levels.
        precisions: All precisions.
        page: Default page to write.
    """
    found = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    for option, names in (("--levels", levels), ("--precisions", precisions)):
        listed = ",".join(names)
        help_text = f"separated by commas or spaces (default: {listed})"
        found.add_argument(option, nargs="+", type=_some_of(names), action=_Joined, default=[*names], help=help_text)
    found.add_argument("--rounds", type=int, default=5, help="how often each contender is measured (default: 5)")
    found.add_argument("--out", type=Path, default=page, help=f"page to write (default: docs/{page.name})")
    found.add_argument("--from-json", action="store_true", help="write the page from stored results; measure nothing")
    return found


class _Joined(argparse.Action):
    """Action that joins the names of several arguments, without duplicates."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, list(dict.fromkeys(itertools.chain(*values))))


def _some_of(names: Collection[str]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(names):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(names)}")
        return [name for name in names if name in text.split(",")]

    return chosen


def measure(
    levels: Mapping[str, Callable[[Any], Iterator[Result]]],
    plan: Plan,
    conditions: Mapping[str, str],
    report: Report,
    data: Path,
) -> None:
    """Measure levels one after the other, print the results, and save each level as soon as it is complete.

    Args:
        levels: Functions that take the plan and yield the results of a level, by key.
        plan: The settings.
        conditions: Settings to list below each level, by name.
        report: Receives the results; those of earlier runs are kept or replaced.
        data: JSON file to save the report in.
    """
    for key, level in levels.items():
        noting = dataclasses.replace(plan, notes=[])
        listed = {**machine.conditions(), "rounds": str(plan.rounds), **conditions}
        try:
            results = [*_printed(key, level(noting))]
        except KeyboardInterrupt:
            raise SystemExit(f"\ninterrupted; the completed levels are saved in {data}") from None
        report.add(key, LevelResults(listed, noting.notes, results))
        report.save(data)


def _printed(key: str, results: Iterator[Result]) -> Iterator[Result]:
    print(f"\n{key}", flush=True)
    so_far: list[Result] = []
    for result in results:
        so_far.append(result)
        *_, cells = lines(key, so_far)
        print("  ".join((result.precision, *cells)), flush=True)
        yield result
