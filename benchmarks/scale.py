"""`python -m benchmarks.scale`: `minilm-jax embed-corpus` on growing numbers of rows, next to `encode` and Ray."""

import argparse
import importlib.util
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.harness.command import DOCS
from benchmarks.harness.machine import conditions, describe
from benchmarks.harness.measuring import in_turns
from benchmarks.harness.report import facts, table
from benchmarks.texts import short_texts

Times: TypeAlias = NDArray[np.float64]

_PAGE_FILE = DOCS / "scale-measured.md"
_SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
# With this many rows, Ray's two workers work for longer than they need to start; with this many parts, both get some.
_RAY_ROWS, _RAY_PARTS = 100_000, 8
_SENTENCES, _ROW_GROUP = 4_000, 1_000
_GROWTH = ("rows", "rows/s", "peak MB", "rows/s of `encode`", "overhead, time", "overhead, processor time")
_ENGINES = ("rows", "engine", "s", "s to start", "rows/s")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "one process": (),
    "Ray, two workers": ("--engine", "ray", "--workers", "2"),
}

_ENCODE = """
import sys, time, pyarrow.parquet, minilm_jax
minilm_jax.enable_compilation_cache()
texts = pyarrow.parquet.read_table(sys.argv[1])["text"].to_pylist()
encoder = minilm_jax.SentenceEncoder.from_pretrained(precision=sys.argv[2])
encoder.encode(texts[:1])
start = time.perf_counter(), time.process_time()
encoder.encode(texts, show_progress_bar=False)
print(time.perf_counter() - start[0], time.process_time() - start[1])
"""

_PAGE = """\
# Scale, measured

Written by `make bench-scale`; do not edit. `minilm-jax embed-corpus` in {precision} on Parquet files of short texts:
sentences of about 15 tokens, repeated, each time with one word replaced. Every value is for a process that starts,
embeds all rows, writes its shards and exits, with compiled programs in the cache; it is the median if there are several
rounds. The shards contained all rows.

## One process

{growth}

- rows/s: without the time to start, which is {start:.1f} s: the time of the same command for one row.
- peak MB: the peak memory of the process.
- `encode`: one call of `SentenceEncoder.encode` with the same texts, in a separate process, in turns with the command.
  Only the call is measured, after a call with one text.
- overhead: the share of the command's time, without its start, that `encode` does not need: reading, writing and
  smaller batches. The processor time is that of all cores, which depends less on the other load of the machine.

## One process and Ray

{engines}

- Both write at least eight shards. The time to start is that of one row.

## Machine

{machine}
"""


class Run(NamedTuple):
    """A process that has exited.

    Attributes:
        times: Wall-clock time and processor time of all cores, in seconds; float64[2].
        megabytes: Its peak memory.
        output: Its standard output.
    """

    times: Times
    megabytes: float
    output: str


class Corpus:
    """A Parquet file of texts, and the commands that embed it."""

    def __init__(self, folder: Path, rows: int, precision: str) -> None:
        """Write the file.

        Args:
            folder: Folder to write it to.
            rows: Number of texts.
            precision: Precision to compute in.
        """
        self.rows, self._precision, self._file = rows, precision, folder / f"{rows}.parquet"
        write_texts(self._file, rows)

    def embed(self, *options: str) -> Run:
        """Run `embed-corpus`, count the rows in its shards, and delete them."""
        with tempfile.TemporaryDirectory(dir=self._file.parent) as out:
            settings = ["--text-column", "text", "--out", out, "--precision", self._precision, *options]
            run = _run("-m", "minilm_jax", "embed-corpus", str(self._file), *settings)
            written = sum(pq.read_metadata(shard).num_rows for shard in Path(out).rglob("*.parquet"))
        if written != self.rows:
            raise SystemExit(f"{written} of {self.rows} rows were written.")
        return run

    def encode(self) -> Times:
        """Return the times of `encode` for the same texts."""
        return np.array(_run("-c", _ENCODE, str(self._file), self._precision).output.split(), float)


def main() -> None:
    """Measure, print the page and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--largest", type=int, default=_SIZES[-1], help="maximum number of rows (default: 1000000)")
    parser.add_argument("--precision", default="int8", help="precision to compute in (default: int8)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds for sizes up to 100000; larger ones have one (default: 3)"
    )
    parser.add_argument("--out", type=Path, default=_PAGE_FILE, help="page to write (default: docs/scale-measured.md)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = [1, *(rows for rows in _SIZES if rows <= arguments.largest)]
        page = _measured([Corpus(Path(folder), rows, arguments.precision) for rows in sizes], arguments)
    arguments.out.write_text(page, "utf-8")
    print(page)


def _measured(corpora: Sequence[Corpus], arguments: argparse.Namespace) -> str:
    """Return the page; the first corpus has one row, and shows the time to start."""
    machine = facts({**describe(), **conditions(), "rounds": arguments.rounds})
    one, smallest, *_ = corpora
    # The first runs fill the compilation cache and are not measured.
    smallest.embed()
    smallest.encode()
    start = np.median([one.embed().times for _ in range(arguments.rounds)], axis=0)
    growth = table([_GROWTH, *_growth(corpora[1:], start, arguments.rounds)])
    engines = "Not measured: Ray was not installed."
    if importlib.util.find_spec("ray"):
        middle = next(corpus for corpus in reversed(corpora) if corpus.rows <= _RAY_ROWS)
        engines = table([_ENGINES, *_engines(one, middle, arguments.rounds)])
    return render(arguments.precision, growth, start[0], engines, machine)


def render(precision: str, growth: str, start: float, engines: str, machine: str) -> str:
    """Return the page, given its two tables, the seconds to start and the list of facts."""
    return _PAGE.format(precision=precision, growth=growth, start=start, engines=engines, machine=machine)


def write_texts(path: Path, rows: int) -> None:
    """Write sentences, each with one word replaced by a word of another sentence."""
    chosen, sentences = random.Random(0), [text.split() for text in short_texts(_SENTENCES)]
    with pq.ParquetWriter(path, pa.schema({"id": pa.int64(), "text": pa.string()})) as writer:
        for start in range(0, rows, _ROW_GROUP):
            ids = range(start, min(start + _ROW_GROUP, rows))
            texts = []
            for _ in ids:
                words = list(chosen.choice(sentences))
                words[chosen.randrange(len(words))] = chosen.choice(chosen.choice(sentences))
                texts.append(" ".join(words))
            writer.write_table(pa.table({"id": list(ids), "text": texts}))


def _growth(corpora: Sequence[Corpus], start: Times, rounds: int) -> Iterator[tuple[str, ...]]:
    for corpus in corpora:
        pairs = [(corpus.embed(), corpus.encode()) for _ in range(rounds if corpus.rows <= _RAY_ROWS else 1)]
        embedded, encoded = np.array([run.times - start for run, _ in pairs]), np.array([times for _, times in pairs])
        rates = (f"{corpus.rows / np.median(times[:, 0]):,.0f}" for times in (embedded, encoded))
        peak = f"{max(run.megabytes for run, _ in pairs):,.0f}"
        overheads = (f"{share:.1%}" for share in np.median(1 - encoded / embedded, axis=0))
        yield f"{corpus.rows:,}", next(rates), peak, next(rates), *overheads
        print(f"  {corpus.rows:,} rows are done", flush=True)


def _engines(one: Corpus, corpus: Corpus, rounds: int) -> Iterator[tuple[str, ...]]:
    parts = ("--shard-rows", str(corpus.rows // _RAY_PARTS))

    def embed(options: tuple[str, ...]) -> Callable[[], tuple[float, ...]]:
        return lambda: tuple(each.embed(*parts, *options).times[0] for each in (one, corpus))

    found = in_turns({engine: embed(options) for engine, options in _OPTIONS.items()}, rounds)
    for engine, times in found.items():
        start, whole = map(statistics.median, zip(*times, strict=True))
        yield f"{corpus.rows:,}", engine, f"{whole:,.1f}", f"{start:.1f}", f"{corpus.rows / (whole - start):,.0f}"


def _run(*command: str) -> Run:
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{errors.read()}")
        times = np.array([seconds, usage.ru_utime + usage.ru_stime])
        return Run(times, usage.ru_maxrss * 1024 / 1e6, output.read())


if __name__ == "__main__":
    main()
