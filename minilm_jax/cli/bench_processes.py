"""Times of whole processes that embed a file of short texts, for `minilm-jax bench`."""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from minilm_jax.config import Precision

PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
COUNTS = (1, 100, 3_000)

# Texts of 6 to 13 of these words have about 12 tokens, as a query or a short sentence.
_WORDS = "the a man woman is was playing reading music books in on near house street with large small green and".split()
_WORDS_PER_TEXT = range(6, 14)


class Runs(NamedTuple):
    """The times of two processes that embed the same texts.

    Attributes:
        precision: Precision of the computation.
        texts: Number of texts.
        first: Seconds of the process that starts without stored programs.
        second: Seconds of the process that loads the programs that the first one stored.
    """

    precision: Precision
    texts: int
    first: float
    second: float


def measure(model: str, revision: str | None) -> Iterator[Runs]:
    """Run `minilm-jax embed --file` twice for each number of texts, in float32 and int8.

    Args:
        model: Name or folder of a model that is already downloaded.
        revision: Branch, tag or commit of the model, or None.

    Yields:
        Each result as soon as it is measured.

    Raises:
        ClickException: A process failed.
    """
    options = ["--model", model, *(["--revision", revision] if revision else [])]
    for precision in PRECISIONS:
        for count in COUNTS:
            yield Runs(precision, count, *_two_runs([*options, "--precision", precision], count))


def _two_runs(options: Sequence[str], count: int) -> tuple[float, float]:
    # The folder for programs is not in the cache of the user, so that the first process finds none.
    with tempfile.TemporaryDirectory() as folder:
        texts, vectors = Path(folder, "texts.txt"), Path(folder, "vectors.npy")
        texts.write_text("\n".join(_texts(count)) + "\n", "utf-8")
        files = ["--file", str(texts), "--out", str(vectors)]
        command = [sys.executable, "-m", "minilm_jax", "embed", "--quiet", *files, *options]
        environment = {**os.environ, "MINILM_JAX_PROGRAMS": str(Path(folder, "programs"))}
        return _seconds(command, environment), _seconds(command, environment)


def _texts(count: int) -> Iterator[str]:
    chosen = random.Random(0)
    return (" ".join(chosen.choices(_WORDS, k=chosen.choice(_WORDS_PER_TEXT))) for _ in range(count))


def _seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8")
    if finished.returncode:
        raise click.ClickException(f"{' '.join(command)}\n{finished.stderr}")
    return time.perf_counter() - start
