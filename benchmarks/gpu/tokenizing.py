"""Tokenizing alone, which bounds what a GPU can be fed; `python -m benchmarks.gpu.tokenizing` measures one core."""

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.gpu.work import LENGTHS, name_of, texts_of
from benchmarks.machine import conditions, describe
from benchmarks.peers import Vectors
from benchmarks.report import table
from benchmarks.worker import Worker
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from minilm_jax.checkpoints.model_tokenizer import TOKENIZER_FILE
from minilm_jax.tokens.tokenizer import TextTokenizer

_ROUNDS, _TOKENS = 5, 1 << 18
_COLUMNS = ("texts", "tokens a text", "tokens/s a core", "tokens/s of any number of cores, at most")


class Tokenizing:
    """A contender without a model."""

    def __init__(self, folder: Path) -> None:
        """Loads the tokenizer of a model."""
        self._tokenizer = TextTokenizer(folder / TOKENIZER_FILE)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Tokenizes texts, cut at 256 tokens, on all cores; returns no vectors."""
        self._tokenizer(texts)
        return np.empty((0, 0), np.float32)


def load(folder: Path, precision: str, form: str) -> Tokenizing:
    """Loads the tokenizer of a model."""
    del precision, form
    return Tokenizing(folder)


def rates(folder: Path, texts: Sequence[str]) -> tuple[float, float]:
    """Returns the tokens a second of processor time on one core, and of the thread that is not spread over cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    tokenizer = TextTokenizer(folder / TOKENIZER_FILE)
    everything, one_thread = time.process_time(), time.thread_time()
    tokens = len(tokenizer(texts).tokens.ids)
    return tokens / (time.process_time() - everything), tokens / (time.thread_time() - one_thread)


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.tokenizing", description=__doc__)
    parser.add_argument("--model", type=Path, help="a model folder (default: all-MiniLM-L6-v2, obtained)")
    folder = parser.parse_args().model or model_folder(DEFAULT_MODEL)
    facts = {**describe(), **conditions()}
    print(table([_COLUMNS, *_rows(folder)]))
    print("\n".join(f"- {name}: {fact}" for name, fact in facts.items()))


def _rows(folder: Path) -> Iterator[tuple[str, ...]]:
    tokenizer = TextTokenizer(folder / TOKENIZER_FILE)
    for length in LENGTHS:
        texts = texts_of(length, _TOKENS)
        mean = tokenizer(texts).tokens.lengths.mean()
        with Worker() as worker:
            found = [worker(rates, folder, texts) for _ in range(_ROUNDS)]
        yield (
            name_of(length),
            f"{mean:.0f}",
            *(f"{statistics.median(column):,.0f}" for column in zip(*found, strict=True)),
        )


if __name__ == "__main__":
    main()
