"""The contenders on a GPU. All share it, but only one computes at a time."""

from typing import Literal

from benchmarks.harness.contender import Contender, Options
from benchmarks.harness.results import OURS

# float32 is not compared, because libraries differ in whether they multiply it as TF32.
HALVES: tuple[Literal["bfloat16"], Literal["float16"]] = ("bfloat16", "float16")

_ALL, _TEXTS, _IDS = ("products", "device", "encode"), ("encode",), ("device",)
_GPU: Options = (("gpu", True),)


def _variant(name: str) -> Options:
    return (("variant", name),)


# The first contender is `SentenceEncoder` as users get it on a GPU, where it also chooses the faster attention.
CONTENDERS = (
    Contender(OURS, "ours", _ALL, HALVES, _variant("packed rows")),
    Contender(f"{OURS}, cuDNN attention", "ours", _IDS, HALVES, _variant("packed rows, cuDNN attention")),
    Contender(f"{OURS}, padded rows", "ours", _IDS, HALVES, _variant("padded rows")),
    Contender(f"{OURS}, padded rows, cuDNN attention", "ours", _IDS, HALVES, _variant("padded rows, cuDNN attention")),
    Contender("sentence-transformers", "sbert", _ALL, HALVES, _GPU),
    Contender("sentence-transformers, torch.compile", "sbert", (*_IDS, *_TEXTS), HALVES, (*_GPU, ("compiled", True))),
    Contender("tokenization only", "tokenization", _TEXTS, HALVES),
)
