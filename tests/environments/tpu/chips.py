"""Data sheets of TPU chips, and the cost of a compiled program on them."""

import dataclasses
from typing import Any

import minilm_jax as mj
from minilm_jax.config import Precision


@dataclasses.dataclass(frozen=True)
class Chip:
    """Specifications of one chip, from https://docs.cloud.google.com/tpu/docs/v5e and …/v6e.

    Attributes:
        flops: Peak rate in bfloat16, FLOP/s.
        memory: Size of the HBM, bytes.
        bandwidth: Bandwidth of the HBM, bytes/s.
    """

    flops: float
    memory: float
    bandwidth: float


CHIPS = {"v5e": Chip(197e12, 16e9, 819e9), "v6e": Chip(918e12, 32e9, 1_638e9)}

# A float32 product with full accuracy is composed of six bfloat16 products.
_PASSES: dict[Precision, int] = {"bfloat16": 1, "float32": 6}


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of one call per chip, as XLA counts it.

    Attributes:
        flops: Floating-point operations.
        traffic: Bytes that all operations read and write.
        memory: Peak memory in bytes: weights, ids, intermediate results, vectors and the program.
    """

    flops: float
    traffic: float
    memory: float

    @classmethod
    def of(cls, program: Any) -> "Cost":
        """Return the cost of a compiled program."""
        costs, memory = program.cost_analysis(), program.memory_analysis()
        taken = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
        return cls(costs["flops"], costs["bytes accessed"], taken + memory.generated_code_size_in_bytes)

    def columns(self, needed: float) -> tuple[str, ...]:
        """Return four cells of a row: FLOPs divided by the FLOPs needed, GFLOP, GB of traffic, and GB of memory."""
        sizes = f"{self.flops / 1e9:,.0f}", f"{self.traffic / 1e9:.1f}", f"{self.memory / 1e9:.1f}"
        return f"{self.flops / needed:.3f}", *sizes

    def speeds(self, tokens: int, chip: Chip, precision: Precision) -> tuple[str, ...]:
        """Return two cells of a row: tokens/s at the chip's peak FLOP/s, and at its peak bandwidth."""
        seconds = self.flops * _PASSES[precision] / chip.flops, self.traffic / chip.bandwidth
        return tuple(f"{tokens / each / 1e6:.1f} M" for each in seconds)


def arithmetic(config: mj.EncoderConfig, length: int) -> int:
    """Return the FLOPs per token: 2 L (4 D² + 2 D F) in linear layers, 4 L T D in attention over T tokens per row."""
    width, wide = config.hidden_size, config.intermediate_size
    return config.num_hidden_layers * (2 * (4 * width**2 + 2 * width * wide) + 4 * length * width)
