"""Results of each contender and workload, grouped by level, and the JSON file that stores them."""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

OURS = "minilm-jax"

# For these units, lower is better.
COSTS = ("ms", "s", "MB")


@dataclasses.dataclass(frozen=True)
class Result:
    """The measurements of one contender on one workload.

    Attributes:
        workload: Name of the work, such as "32 × 16".
        precision: The precision that it was computed in.
        contender: Name of the contender.
        unit: Unit of the values.
        values: One value per round; those of other contenders were measured in the same rounds.
        ceiling: The median as a fraction of the rate of the matrix multiplications alone, or None.
    """

    workload: str
    precision: str
    contender: str
    unit: str
    values: Sequence[float]
    ceiling: float | None = None

    @property
    def median(self) -> float:
        """Median of all rounds, which the report shows."""
        return statistics.median(self.values)

    def over(self, other: Self) -> list[float]:
        """Return the ratios of this contender's values to another's, round by round."""
        return [mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)]


@dataclasses.dataclass(frozen=True)
class LevelResults:
    """The results of a completed level.

    Attributes:
        conditions: Date, rounds, load of the machine and the like, by name.
        notes: How well the contenders agree, and which were left out.
        results: The results of all contenders.
    """

    conditions: Mapping[str, str]
    notes: Sequence[str]
    results: Sequence[Result]

    def merged_into(self, earlier: Self) -> Self:
        """Return this level, completed by the precisions that only an earlier run measured."""
        measured = {result.precision for result in self.results}
        kept = [result for result in earlier.results if result.precision not in measured]
        notes = [note for note in earlier.notes if not any(f", {precision}:" in note for precision in measured)]
        return dataclasses.replace(self, notes=[*notes, *self.notes], results=[*kept, *self.results])


@dataclasses.dataclass
class Report:
    """The results of all levels on one machine.

    Attributes:
        machine: Hardware and versions, by name.
        levels: Results by the key of their level.
    """

    machine: Mapping[str, str]
    levels: dict[str, LevelResults] = dataclasses.field(default_factory=dict)

    def add(self, key: str, level: LevelResults) -> None:
        """Add a level; precisions that it does not cover are kept from before."""
        self.levels[key] = level.merged_into(self.levels[key]) if key in self.levels else level

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a report that `save` wrote."""
        content = json.loads(path.read_text("utf-8"))
        return cls(content["machine"], {key: _level(level) for key, level in content["levels"].items()})

    @classmethod
    def resume(cls, path: Path, machine: Mapping[str, str]) -> Self:
        """Return the report in a file if it is of the same machine and versions, or else an empty one."""
        if path.exists() and (earlier := cls.read(path)).machine == machine:
            return earlier
        return cls(machine)


def _level(content: Mapping[str, Any]) -> LevelResults:
    return LevelResults(**{**content, "results": [Result(**line) for line in content["results"]]})
