"""The contenders on a CPU, each with the settings that its documentation recommends for speed."""

from benchmarks.harness.contender import Contender, Options
from benchmarks.harness.results import OURS
from minilm_jax.config import Precision

_ALL: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
_LATENCY: Options = (("hint", "latency"),)
_THROUGHPUT: Options = (("hint", "throughput"),)

MINILM_JAX = Contender(OURS, "ours", "abcde", _ALL)
PEERS = (
    Contender("OpenVINO, latency hint", "open_vino", "ac", _ALL, _LATENCY),
    Contender("OpenVINO, throughput hint", "open_vino", "abd", _ALL, _THROUGHPUT),
    Contender("onnxruntime", "onnx_runtime", "abcd", ("float32",)),
    Contender("onnxruntime", "onnx_runtime", "abd", ("int8",), (("fused", False),)),
    Contender("onnxruntime, fused", "onnx_runtime", "ac", ("int8",)),
    Contender("CTranslate2, 1 worker", "ctranslate", "ac", ("float32", "int8"), _LATENCY),
    Contender("CTranslate2, 1 worker per core", "ctranslate", "ab", ("float32", "int8"), _THROUGHPUT),
    Contender("sentence-transformers", "sbert", "abcd", ("float32", "bfloat16")),
    Contender("fastembed", "fast_embed", "bcd", ("float32", "int8")),
)
