"""What was measured: a line for each contender, what ratio two of them have, and the file that all of it is kept in."""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OURS = "minilm-jax"

# Of these, less is better.
COSTS = ("ms", "s", "MB")


@dataclasses.dataclass(frozen=True)
class Result:
    """One contender at one thing.

    Attributes:
        what: What was done.
        precision: What it was computed in.
        contender: Who did it.
        unit: Of the values.
        values: One a round, measured beside the others'.
        ceiling: The median as a fraction of what matrix multiplication alone would allow, or None.
    """

    what: str
    precision: str
    contender: str
    unit: str
    values: Sequence[float]
    ceiling: float | None = None

    @property
    def median(self) -> float:
        """The value that the report gives."""
        return statistics.median(self.values)

    def over(self, other: "Result") -> list[float]:
        """Returns the ratios of this contender's values to another's, round by round."""
        return [mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)]


@dataclasses.dataclass(frozen=True)
class LevelResults:
    """A level that was measured to its end.

    Attributes:
        conditions: When, how often, and under what load, by name.
        notes: How well the contenders agree, and who was left out.
        results: The lines.
    """

    conditions: Mapping[str, str]
    notes: Sequence[str]
    results: Sequence[Result]

    def after(self, earlier: "LevelResults") -> "LevelResults":
        """Returns this level with those precisions of an earlier run that were not measured again."""
        again = {result.precision for result in self.results}
        kept = [result for result in earlier.results if result.precision not in again]
        notes = [note for note in earlier.notes if not any(f", {precision}:" in note for precision in again)]
        return LevelResults(self.conditions, [*notes, *self.notes], [*kept, *self.results])


@dataclasses.dataclass
class Report:
    """All of it.

    Attributes:
        machine: Machine and versions, by name.
        levels: What was measured, by level.
    """

    machine: Mapping[str, str]
    levels: dict[str, LevelResults] = dataclasses.field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Reads what `save` wrote."""
        content = json.loads(path.read_text("utf-8"))
        return cls(content["machine"], {name: _level(level) for name, level in content["levels"].items()})


def _level(content: Mapping[str, Any]) -> LevelResults:
    return LevelResults(**{**content, "results": [Result(**line) for line in content["results"]]})
