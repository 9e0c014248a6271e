"""CTranslate2: float32 and int8 of the converted model; one encoder on all cores, or one a core."""

import functools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.peers import THREADS, Hint, Precision, Vectors, prepared
from benchmarks.peers.loop import Loop, Padded, pool


def load(folder: Path, precision: Precision, hint: Hint) -> Loop:
    """Loads the engine from a model folder, for one call at a time or for many at once."""
    import ctranslate2  # pyright: ignore[reportMissingImports] only in the peers' environment

    streams = THREADS if hint == "throughput" else 1
    encoder = ctranslate2.Encoder(
        str(prepare(folder, precision)),
        compute_type=precision,
        inter_threads=streams,
        intra_threads=THREADS // streams,
    )
    view = ctranslate2.StorageView.from_array

    def vectors(batch: Padded) -> Vectors:
        lengths = batch.mask.sum(1, dtype=np.int32)
        hidden = encoder.forward_batch(view(batch.ids), view(lengths)).last_hidden_state
        return pool(np.asarray(hidden), batch.mask)

    threads = ThreadPoolExecutor(streams)

    def run(batches: Iterable[Padded]) -> Iterator[Vectors]:
        return threads.map(vectors, batches) if streams > 1 else map(vectors, batches)

    return Loop(folder, run)


def prepare(folder: Path, precision: Precision) -> Path:
    """Returns the folder in CTranslate2's form, made at the first call; int8 is made of it when it is loaded."""
    return prepared(f"ctranslate2-{version('ctranslate2')}", functools.partial(_convert, folder))


def _convert(folder: Path, path: Path) -> None:
    from ctranslate2.converters import TransformersConverter  # pyright: ignore[reportMissingImports] only there

    TransformersConverter(str(folder)).convert(str(path))
