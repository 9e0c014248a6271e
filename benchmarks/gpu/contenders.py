"""The contenders on a GPU. All share it, but only one computes at a time."""

from collections.abc import Collection
from typing import Literal

from benchmarks.harness.contender import Contender, Options
from benchmarks.harness.results import OURS

# float32 is not compared, because libraries differ in whether they multiply it as TF32.
HALVES: tuple[Literal["bfloat16"], Literal["float16"]] = ("bfloat16", "float16")

_ALL, _TEXTS, _IDS = ("products", "device", "encode"), ("encode",), ("device",)
_GPU: Options = (("gpu", True),)


def _ours(suffix: str, levels: Collection[str], variant: str) -> Contender:
    return Contender(OURS + suffix, "ours_on_device", levels, HALVES, (("variant", variant),))


# The first contender is `SentenceEncoder` as users get it on a GPU, where it also chooses the faster attention.
CONTENDERS = (
    _ours("", _ALL, "packed rows"),
    _ours(", cuDNN attention", _IDS, "packed rows, cuDNN attention"),
    _ours(", padded rows", _IDS, "padded rows"),
    _ours(", padded rows, cuDNN attention", _IDS, "padded rows, cuDNN attention"),
    Contender("sentence-transformers", "sbert", _ALL, HALVES, _GPU),
    Contender("sentence-transformers, torch.compile", "sbert", (*_IDS, *_TEXTS), HALVES, (*_GPU, ("compiled", True))),
    Contender("tokenization only", "tokenization", _TEXTS, HALVES),
)
