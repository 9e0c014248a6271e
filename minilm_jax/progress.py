"""Bars for long work: on a terminal only, and not where warnings are turned off, as `--quiet` does."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

# Seconds before a progress bar appears, so that short work shows none.
_PROGRESS_DELAY = 1.0

_log = logging.getLogger("minilm_jax")


def silenced() -> bool:
    """Returns whether no more than errors is to be said."""
    return not _log.isEnabledFor(logging.WARNING)


@contextlib.contextmanager
def stages(size: int, names: Sequence[str]) -> Iterator[Callable[[], object]]:
    """Shows a file on its way through several stages, as if each took as long for a byte as the others.

    Args:
        size: Of the file, in bytes.
        names: What is done to it, such as "reading".

    Yields:
        To be called at the end of each stage.
    """
    from tqdm import tqdm

    ahead = iter(names)
    # tqdm's None shows the bar on a terminal only.
    disable = silenced() or None
    with tqdm(
        total=size * len(names), desc=next(ahead), unit="B", unit_scale=True, leave=False, disable=disable
    ) as bar:

        def done() -> None:
            bar.update(size)
            bar.set_description(next(ahead, "done"))

        yield done


def progress_bar(total: int | None, show: bool | None) -> "tqdm[NoReturn]":
    """Returns a bar over texts; where show is None it appears on a terminal only, and when the work is long."""
    from tqdm import tqdm

    return tqdm(total=total, unit="text", delay=_PROGRESS_DELAY, disable=None if show is None else not show)
