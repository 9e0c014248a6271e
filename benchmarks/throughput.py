"""Texts a second of `encode`, on lists of short and of long texts, in processes that stay warm."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.comparison import Comparison, interleave
from benchmarks.contender import Contender
from benchmarks.texts import long_texts, short_texts

# Both compute in float32; more than this would be another result.
_TOLERANCE = 1e-5

# Beside sentence-transformers' own batch size, 32.
BATCH_SIZES = (8, 16, 64)

# The best of them is found on this fraction of the texts.
_SAMPLE = 4


def compare(folder: Path, rounds: int, *, short: int = 1_000, long: int = 50) -> Iterator[Comparison]:
    """Measures `encode` beside sentence-transformers at its default batch size and at its best one.

    Args:
        folder: The model.
        rounds: How often each is run, a few seconds at a time.
        short: How many texts of about 15 tokens.
        long: How many texts of about 240 tokens.

    Yields:
        The lines of the report.
    """
    with contextlib.ExitStack() as stack:

        def start(name: str, module: str, **options: int) -> Contender:
            return stack.enter_context(Contender(name, module, folder, **options))

        us = start("minilm-jax", "ours")
        default = start("sentence-transformers, batch_size=32", "sbert")
        others = [start(f"sentence-transformers, batch_size={n}", "sbert", batch_size=n) for n in BATCH_SIZES]
        yield from _against(
            us, default, others, f"encode {short:,} texts of 15 tokens", short_texts(short), rounds, "≥ 1.3"
        )
        yield from _against(us, default, others, f"encode {long:,} texts of 240 tokens", long_texts(long), rounds)


def _against(
    us: Contender,
    default: Contender,
    others: Sequence[Contender],
    what: str,
    texts: Sequence[str],
    rounds: int,
    goal: str = "",
) -> Iterator[Comparison]:
    """Compares with a peer at its default and at the best of other settings, once they have given our vectors."""
    sample = texts[: len(texts) // _SAMPLE]
    best = min(others, key=lambda peer: _warm_seconds(peer, sample))
    vectors = us.encode(texts)
    for peer in (default, best):
        _check_agreement(peer, float(np.abs(peer.encode(texts) - vectors).max()))
    times = interleave({each.name: functools.partial(each.seconds, texts) for each in (us, default, best)}, rounds)
    rates = {name: [len(texts) / seconds for seconds in times[name]] for name in times}
    for peer in (default, best):
        yield Comparison(what, "texts/s", peer.name, rates[us.name], rates[peer.name], goal)


def _warm_seconds(contender: Contender, texts: Sequence[str]) -> float:
    contender.encode(texts)
    return min(contender.seconds(texts) for _ in range(3))


def _check_agreement(peer: Contender, difference: float) -> None:
    print(f"  {peer.name}: largest difference from our vectors {difference:.1e}", flush=True)
    if difference > _TOLERANCE:
        raise SystemExit(f"{peer.name} computes something else: its vectors differ by {difference:.1e} from ours.")
