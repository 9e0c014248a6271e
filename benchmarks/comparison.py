"""Two ways to do the same thing, measured in turns on one machine, and what their ratio is."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping

# Each measurement by its name; a number each round.
Measurements = Mapping[str, list[float]]


def interleave(measure: Mapping[str, Callable[[], float]], rounds: int) -> Measurements:
    """Measures A B C A B C …, so that what else the machine does falls on all alike.

    Args:
        measure: What to measure, by name; each call gives one number.
        rounds: How often.

    Returns:
        The numbers of each, a round each.
    """
    results: dict[str, list[float]] = {name: [] for name in measure}
    for _ in range(rounds):
        for name, once in measure.items():
            results[name].append(once())
    return results


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One line of the report.

    Attributes:
        what: What was done.
        unit: Of `ours` and `theirs`: "s" or "texts/s".
        peer: Whom we are compared with.
        ours: A number each round.
        theirs: A number each round, measured beside ours.
        goal: The bound that the median ratio should keep, such as "≥ 1.3", or "" for none.
    """

    what: str
    unit: str
    peer: str
    ours: list[float]
    theirs: list[float]
    goal: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, round by round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def cells(self) -> tuple[str, ...]:
        """Returns the columns of the report."""
        ratios = self.ratios
        spread = f"**{statistics.median(ratios):.2f}** [{min(ratios):.2f} – {max(ratios):.2f}]"
        return self.what, self._number(self.ours), self.peer, self._number(self.theirs), spread, self.goal

    def _number(self, values: list[float]) -> str:
        median = statistics.median(values)
        return f"{median:.2f} s" if self.unit == "s" else f"{median:,.0f} {self.unit}"
