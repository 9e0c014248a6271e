"""`python -m benchmarks.gpu.tokenizing`: measure tokenization on one core, which limits the input rate of a GPU."""

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.gpu.workload import LENGTHS, length_name, texts_of
from benchmarks.harness.ceiling import token_counts
from benchmarks.harness.machine import conditions, describe
from benchmarks.harness.report import facts, table
from benchmarks.harness.worker import Worker
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.tokens.tokenizer import TextTokenizer

_ROUNDS, _TOKENS = 5, 1 << 18
_COLUMNS = ("texts", "tokens per text", "tokens/s per core", "limit for any number of cores, tokens/s")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.tokenizing", description=__doc__)
    parser.add_argument("--model", type=Path, help="a model folder (default: all-MiniLM-L6-v2, downloaded)")
    folder = parser.parse_args().model or model_folder(DEFAULT_MODEL)
    listed = facts({**describe(), **conditions()})
    print(table([_COLUMNS, *_rows(folder)]))
    print(listed)


def rates(folder: Path, texts: Sequence[str]) -> tuple[float, float]:
    """Return the tokens per second of processor time on one core: of all threads, and of the calling thread alone."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    tokenizer = TextTokenizer(folder / TOKENIZER_FILE)
    everything, one_thread = time.process_time(), time.thread_time()
    tokens = len(tokenizer(texts).tokens.ids)
    return tokens / (time.process_time() - everything), tokens / (time.thread_time() - one_thread)


def _rows(folder: Path) -> Iterator[tuple[str, ...]]:
    for length in LENGTHS:
        texts, name = texts_of(length, _TOKENS), length_name(length)
        with Worker() as worker:
            found = [worker(rates, folder, texts) for _ in range(_ROUNDS)]
        medians = (f"{statistics.median(column):,.0f}" for column in zip(*found, strict=True))
        yield name, f"{token_counts(folder, texts).mean():.0f}", *medians


if __name__ == "__main__":
    main()
