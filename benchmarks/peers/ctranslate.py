"""CTranslate2: float32 and int8 of the converted model; one worker on all cores, or one per core."""
# pyright: reportMissingImports=false

import functools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import ctranslate2
import numpy as np

from benchmarks.peers import THREADS, Hint, Vectors, prepared
from benchmarks.peers.loop import Loop, PaddedBatch, pool
from minilm_jax.config import Precision


def load(folder: Path, precision: Precision, hint: Hint) -> Loop:
    """Load the engine from a model folder, for one batch at a time or for several concurrently."""
    workers = THREADS if hint == "throughput" else 1
    # The same files serve both precisions: the library quantizes them when it loads them.
    path = prepared(f"ctranslate2-{version('ctranslate2')}", functools.partial(_convert, folder))
    encoder = ctranslate2.Encoder(
        str(path), compute_type=precision, inter_threads=workers, intra_threads=THREADS // workers
    )
    view = ctranslate2.StorageView.from_array

    def vectors(batch: PaddedBatch) -> Vectors:
        lengths = batch.mask.sum(1, dtype=np.int32)
        hidden = encoder.forward_batch(view(batch.ids), view(lengths)).last_hidden_state
        return pool(np.asarray(hidden), batch.mask)

    threads = ThreadPoolExecutor(workers)

    def run(batches: Iterable[PaddedBatch]) -> Iterator[Vectors]:
        return threads.map(vectors, batches) if workers > 1 else map(vectors, batches)

    return Loop(folder, run)


def _convert(folder: Path, path: Path) -> None:
    # The import loads transformers, so it is done only for a conversion.
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(folder)).convert(str(path))
