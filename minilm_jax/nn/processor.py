"""What the processor is and can do, as far as the system tells."""

import contextlib
import functools
import platform
from pathlib import Path

# Lines of /proc/cpuinfo.
_TELLING = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")


@functools.cache
def description() -> str:
    """Returns the processor's maker, name and instructions."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(dict.fromkeys(line for line in lines if line.startswith(_TELLING)))
    return platform.processor()


def runs(instructions: str) -> bool:
    """Whether it has instructions such as `avx512f`, by the name that Linux gives them; elsewhere none are known."""
    return instructions in description().split()


def multiplies_bfloat16_faster() -> bool:
    """Whether bfloat16 products take less time than float32 ones."""
    # Measured: 1.7 times as fast as float32 on an AMD EPYC (Zen 4), half as fast on an Intel Xeon with the same
    # instruction and no AMX, by XLA and by OpenVINO alike. Elsewhere float32 is the safe choice.
    return "AuthenticAMD" in description() and runs("avx512_bf16")
