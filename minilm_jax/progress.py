"""Progress bars, shown on a terminal only, and not if warnings are turned off as with `--quiet`, and their units."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

# Progress bars appear after this many seconds, so that short tasks do not show one.
_PROGRESS_DELAY = 1.0

_log = logging.getLogger("minilm_jax")


def silenced() -> bool:
    """Return whether only errors are logged."""
    return not _log.isEnabledFor(logging.WARNING)


def count_of(number: int, noun: str) -> str:
    """Return a number with a noun, such as "1 file" or "2,000 files"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Return a duration in the units that matter, such as "2 h 5 min", "5 min" or "5 s"."""
    hours, minutes = int(seconds // 3600), int(seconds % 3600 // 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


@contextlib.contextmanager
def stages(size: int, names: Sequence[str]) -> Iterator[Callable[[], object]]:
    """Show a progress bar for a file that is processed in several stages of equal weight.

    Args:
        size: Size of the file, in bytes.
        names: Names of the stages, such as "reading".

    Yields:
        A function to call at the end of each stage.
    """
    from tqdm import tqdm

    remaining = iter(names)
    # With disable=None, tqdm shows the bar on a terminal only.
    disable = silenced() or None
    with tqdm(
        total=size * len(names), desc=next(remaining), unit="B", unit_scale=True, leave=False, disable=disable
    ) as bar:

        def done() -> None:
            bar.update(size)
            bar.set_description(next(remaining, "done"))

        yield done


class HiddenBar:
    """A progress bar that shows nothing, and does not import tqdm, which takes as long as embedding a few texts."""

    def __enter__(self) -> "HiddenBar":
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, _: int) -> None:
        """Show nothing."""


def progress_bar(total: int | None, show: bool | None, unit: str = "text") -> "tqdm[NoReturn] | HiddenBar":
    """Return a progress bar.

    Args:
        total: Number of texts or other units, or None if it is not known.
        show: Whether to show the bar; None shows it on a terminal only. A bar appears after one second.
        unit: Name of the counted items.
    """
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    if not (on_terminal if show is None else show):
        return HiddenBar()
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, delay=_PROGRESS_DELAY)
