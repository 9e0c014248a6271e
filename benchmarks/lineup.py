"""Who takes part in a level, each in a process of its own, and whether all compute the same thing."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.contender import Contender, Entry, embed, encode
from benchmarks.peers import Ids, Precision, Vectors
from benchmarks.results import OURS
from benchmarks.texts import mixed_texts
from benchmarks.worker import WorkerError

_ALL: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
_US = Entry(OURS, "ours", _ALL, "abce")
_LATENCY, _THROUGHPUT = (("hint", "latency"),), (("hint", "throughput"),)
_PEERS = (
    Entry("OpenVINO, latency hint", "open_vino", _ALL, "ac", _LATENCY),
    Entry("OpenVINO, throughput hint", "open_vino", _ALL, "ab", _THROUGHPUT),
    Entry("onnxruntime", "onnx_runtime", ("float32",), "abc"),
    Entry("onnxruntime", "onnx_runtime", ("int8",), "ab", (("fused", False),)),
    Entry("onnxruntime, fused", "onnx_runtime", ("int8",), "ac"),
    Entry("CTranslate2, one stream", "ctranslate", ("float32", "int8"), "ac", _LATENCY),
    Entry("CTranslate2, a stream a core", "ctranslate", ("float32", "int8"), "ab", _THROUGHPUT),
    Entry("sentence-transformers", "sbert", ("float32", "bfloat16"), "abc"),
    Entry("fastembed", "fast_embed", ("float32", "int8"), "bc"),
)

# Float32 is float32; more than this would be another result. Of rounded ones, a mean cosine is what can be asked.
_TOLERANCE = 1e-5
_LEAST_COSINE = 0.9

_PROBES = 64


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run was asked for.

    Attributes:
        folder: The model.
        peers: Whether others than minilm-jax take part.
        precisions: What to compute in.
        rounds: How often each contender is measured.
        fraction: Of the texts and calls of a full run.
        notes: What a reader should know of the contenders, added to as it is found out.
    """

    folder: Path
    peers: bool
    precisions: Sequence[Precision]
    rounds: int
    fraction: float
    notes: list[str] = dataclasses.field(default_factory=list)

    def share(self, count: int) -> int:
        """Returns how many of a full run's texts or calls to take."""
        return max(1, round(count * self.fraction))


@contextlib.contextmanager
def lineup(level: str, plan: Plan, precision: Precision) -> Iterator[list[Contender]]:
    """Starts the contenders of a level, ours first, those left out that fail or that compute something else.

    Args:
        level: Its letter.
        plan: What the run was asked for.
        precision: What they compute in.

    Yields:
        The contenders, whose processes end with the context.
    """
    with contextlib.ExitStack() as stack:
        us = stack.enter_context(Contender(_US, plan.folder, precision))
        contenders, expected = [us], _probe(us, level)
        for entry in _entries(level, precision) if plan.peers else ():
            try:
                peer = stack.enter_context(Contender(entry, plan.folder, precision))
                note = _agreement(expected, _probe(peer, level), precision)
            except (WorkerError, ValueError) as error:
                note = f"left out: {error}"
            else:
                contenders.append(peer)
            plan.notes.append(f"{entry.name}, {precision}: {note}")
            print(f"  {plan.notes[-1]}", flush=True)
        yield contenders


def random_ids(shape: tuple[int, int]) -> Ids:
    """Returns token ids int32[B, T] of whole words and word pieces."""
    return np.random.default_rng(0).integers(1_000, 30_000, shape).astype(np.int32)


def _entries(level: str, precision: Precision) -> list[Entry]:
    return [entry for entry in _PEERS if level in entry.levels and precision in entry.precisions]


def _probe(contender: Contender, level: str) -> Vectors:
    if level == "a":
        return contender.do(embed, [random_ids((_PROBES, 16))])[0]
    return contender.do(encode, mixed_texts(_PROBES))


def _agreement(ours: Vectors, theirs: Vectors, precision: Precision) -> str:
    if precision == "float32":
        difference = float(np.abs(ours - theirs).max())
        if difference > _TOLERANCE:
            raise ValueError(f"its vectors differ by {difference:.1e} from ours")
        return f"largest difference from our vectors {difference:.1e}"
    # What is rounded to bfloat16 after it was made unit length is so no more.
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = float(((ours * theirs).sum(1) / lengths).mean())
    if cosine < _LEAST_COSINE:
        raise ValueError(f"its vectors have a mean cosine of {cosine:.3f} with ours")
    return f"mean cosine with our vectors {cosine:.4f}"
