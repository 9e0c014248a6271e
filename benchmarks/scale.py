"""`python -m benchmarks.scale`: `minilm-jax embed-corpus` over more and more rows, beside `encode`, and beside Ray."""

import argparse
import importlib.util
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import conditions, describe
from benchmarks.report import table
from benchmarks.texts import short_texts

_PAGE_FILE = Path(__file__).parents[1] / "docs" / "scale-measured.md"
_SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
# Rows enough that two workers of Ray have work after they have started, in parts enough that both have their share.
_RAY_ROWS, _RAY_PARTS = 100_000, 8
_SENTENCES, _ROW_GROUP = 4_000, 1_000
_GROWTH = ("rows", "rows/s", "most MB", "rows/s of `encode`", "not `encode`", "of processor time")
_ENGINES = ("rows", "", "s", "s to start", "rows/s")
_WAYS = {"one process": (), "Ray, two workers": ("--engine", "ray", "--workers", "2")}

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

Written by `make bench-scale`; do not edit. `minilm-jax embed-corpus` in {precision} over Parquet files of short texts:
real sentences of about 15 tokens, repeated, each time with another word in one place. Every number is of a process that
starts, embeds all rows, writes its shards and ends, with compiled programs in the cache; where there are several rounds
it is the median. All rows were found in the shards.

## One process

{growth}

- rows/s: without the time that the same command takes for one row, its start: {start:.1f} s.
- most MB: the high-water mark of the process's memory.
- `encode`: `SentenceEncoder.encode` over the same texts in one call, in turns with the command, in a process of its
  own; only the call is measured, after one text.
- not `encode`: the share of the command's time, without its start, that `encode` does not take: reading, writing, and
  what smaller batches cost. Of processor time: the same of the seconds of all cores, which other work on the machine
  disturbs less.

## One process and Ray

{engines}

- Both make at least eight shards; s to start is what one row takes.

## Machine

{machine}
"""


class Cost(NamedTuple):
    """What something took.

    Attributes:
        seconds: From its start to its end.
        processor: Seconds of all cores.
    """

    seconds: float
    processor: float

    def __sub__(self, other: "Cost") -> "Cost":
        """Takes what something else took away."""
        return Cost(self.seconds - other.seconds, self.processor - other.processor)


class Run(NamedTuple):
    """A process that has ended.

    Attributes:
        cost: What it took.
        megabytes: The most memory that it held.
        output: What it printed.
    """

    cost: Cost
    megabytes: float
    output: str


class Corpus:
    """A file of texts in a folder, and what is run on it."""

    def __init__(self, folder: Path, rows: int, precision: str) -> None:
        """Writes the file.

        Args:
            folder: Where it lies.
            rows: How many texts.
            precision: What to compute in.
        """
        self.rows, self._precision = rows, precision
        self._file, self._out = folder / f"{rows}.parquet", folder / "out"
        if not self._file.exists():
            write_texts(self._file, rows)

    def embed(self, *options: str) -> Run:
        """Runs the command; the shards are counted and removed."""
        with tempfile.TemporaryDirectory(dir=self._file.parent) as out:
            how = ["--text-column", "text", "--out", out, "--precision", self._precision, *options]
            run = _run("-m", "minilm_jax", "embed-corpus", str(self._file), *how)
            written = sum(pq.read_metadata(shard).num_rows for shard in Path(out).rglob("*.parquet"))
        if written != self.rows:
            raise SystemExit(f"{written} of {self.rows} rows were written.")
        return run

    def encode(self) -> Cost:
        """Returns what `encode` takes for the same texts."""
        return Cost(*map(float, _run("-c", _ENCODE, str(self._file), self._precision).output.split()))


def main() -> None:
    """Measures, prints the page and writes it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--largest", type=int, default=_SIZES[-1], help="rows, at most (default: 1000000)")
    parser.add_argument("--precision", default="int8", help="what to compute in (default: int8)")
    parser.add_argument("--rounds", type=int, default=3, help="of sizes up to 100000, of others one (default: 3)")
    parser.add_argument("--out", type=Path, default=_PAGE_FILE, help="the page (default: docs/scale-measured.md)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = [1, *(rows for rows in _SIZES if rows <= arguments.largest)]
        page = _measured([Corpus(Path(folder), rows, arguments.precision) for rows in sizes], arguments)
    arguments.out.write_text(page, "utf-8")
    print(page)


def _measured(corpora: Sequence[Corpus], arguments: argparse.Namespace) -> str:
    """Returns the page; the first of the corpora, one row, shows what a start takes."""
    facts = {**describe(), **conditions(), "rounds": arguments.rounds}
    one, smallest, *_ = corpora
    # Fills the compilation cache.
    smallest.embed()
    smallest.encode()
    start = _median([one.embed().cost for _ in range(arguments.rounds)])
    growth = table([_GROWTH, *_growth(corpora[1:], start, arguments.rounds)])
    engines = "Not measured: Ray was not installed."
    if importlib.util.find_spec("ray"):
        middle = next(corpus for corpus in reversed(corpora) if corpus.rows <= _RAY_ROWS)
        engines = table([_ENGINES, *_engines(one, middle, arguments.rounds)])
    return _PAGE.format(
        precision=arguments.precision,
        growth=growth,
        start=start.seconds,
        engines=engines,
        machine="\n".join(f"- {name}: {fact}" for name, fact in facts.items()),
    )


def write_texts(path: Path, rows: int) -> None:
    """Writes sentences, each with one of its words replaced by one of another sentence."""
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


def _growth(corpora: Sequence[Corpus], start: Cost, rounds: int) -> Iterator[tuple[str, ...]]:
    for corpus in corpora:
        turns = range(rounds if corpus.rows <= _RAY_ROWS else 1)
        runs, encoded = zip(*((corpus.embed(), corpus.encode()) for _ in turns), strict=True)
        embedded = [run.cost - start for run in runs]
        shares = [
            Cost(1 - e.seconds / c.seconds, 1 - e.processor / c.processor)
            for e, c in zip(encoded, embedded, strict=True)
        ]
        ours, theirs = (f"{corpus.rows / _median(costs).seconds:,.0f}" for costs in (embedded, encoded))
        most = f"{max(run.megabytes for run in runs):,.0f}"
        yield f"{corpus.rows:,}", ours, most, theirs, *(f"{share:.1%}" for share in _median(shares))
        print(f"  {corpus.rows:,} rows are done", flush=True)


def _engines(one: Corpus, corpus: Corpus, rounds: int) -> Iterator[tuple[str, ...]]:
    parts = ("--shard-rows", str(corpus.rows // _RAY_PARTS))
    turns = [
        [[each.embed(*parts, *options).cost.seconds for each in (one, corpus)] for options in _WAYS.values()]
        for _ in range(rounds)
    ]
    for way, found in zip(_WAYS, zip(*turns, strict=True), strict=True):
        start, whole = map(statistics.median, zip(*found, strict=True))
        yield f"{corpus.rows:,}", way, f"{whole:,.1f}", f"{start:.1f}", f"{corpus.rows / (whole - start):,.0f}"


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


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
        cost = Cost(seconds, usage.ru_utime + usage.ru_stime)
        return Run(cost, usage.ru_maxrss * 1024 / 1e6, output.read())


if __name__ == "__main__":
    main()
