"""Progress of a run: a bar on a terminal, and otherwise lines of plain text in the log."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NoReturn

from tqdm import tqdm

from minilm_jax import progress
from minilm_jax.scale.estimate import expected_rows
from minilm_jax.scale.manifest import Part

_SECONDS_PER_LINE = 60.0

_log = logging.getLogger("minilm_jax")


class Progress:
    """Counter of rows that shows nothing."""

    def add(self, rows: int, *, skipped: bool = False) -> None:
        """Count rows that were embedded, or whose shards were found finished."""

    def finish_shard(self) -> None:
        """Record that a shard was written."""


@contextlib.contextmanager
def show_progress(all_parts: Sequence[Part], parts: Sequence[Part]) -> Iterator[Progress]:
    """Show the number of rows, their rate and the time left; skipped rows do not affect the rate.

    Args:
        all_parts: The whole manifest, from which unknown numbers of rows are estimated.
        parts: Parts of this run.

    Yields:
        The counter to call.
    """
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    if progress.silenced() or not (is_terminal or _log.isEnabledFor(logging.INFO)):
        yield Progress()
        return
    expected = expected_rows(all_parts)
    total = sum(expected[part.name] for part in parts)
    if is_terminal:
        with tqdm(total=total, unit=" rows", unit_scale=True, smoothing=0) as bar:
            yield _Bar(bar)
        return
    files = len({part.file.url for part in parts})
    about = "" if all(part.rows is not None for part in parts) else "about "
    _log.info("embedding %s%s rows of %s.", about, f"{total:,}", progress.count_of(files, "file"))
    with _Lines(total, about) as lines:
        yield lines


class _Bar(Progress):
    def __init__(self, bar: "tqdm[NoReturn]") -> None:
        self._bar = bar

    def add(self, rows: int, *, skipped: bool = False) -> None:
        if skipped:
            self._bar.initial += rows  # The rate of tqdm excludes these rows.
        self._bar.update(rows)


class _Lines(Progress):
    """One line when the first shard is written, and one per minute."""

    def __init__(self, total: int, about: str) -> None:
        self._total, self._about = total, about
        self._done = self._embedded = 0
        self._counted_at, self._seconds, self._has_shard = time.perf_counter(), 0.0, False
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._log_every_minute, name="minilm-jax-progress", daemon=True)

    def __enter__(self) -> "_Lines":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._thread.join()

    def add(self, rows: int, *, skipped: bool = False) -> None:
        now = time.perf_counter()
        self._done += rows
        if not skipped:
            self._embedded, self._seconds = self._embedded + rows, self._seconds + now - self._counted_at
        self._counted_at = now

    def finish_shard(self) -> None:
        if not self._has_shard:
            self._has_shard = True
            self._log_line()

    def _log_every_minute(self) -> None:
        while not self._finished.wait(_SECONDS_PER_LINE):
            self._log_line()

    def _log_line(self) -> None:
        total = max(self._total, self._done)  # The estimate may be too low.
        line = f"{self._done:,} of {self._about}{total:,} rows"
        if self._embedded:
            rate = self._embedded / max(self._seconds, 1e-9)
            left = progress.duration((total - self._done) / rate)
            line += f", {rate:,.{0 if rate >= 10 else 1}f} rows/s, {left} left"
        _log.info("%s.", line)
