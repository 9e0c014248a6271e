"""Description of the machine and of the installed versions, which all absolute values depend on."""

import datetime
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.peers import THREADS

_PACKAGES = (
    "minilm-jax jax jaxlib flax numpy tokenizers openvino nncf onnxruntime ctranslate2 fastembed torch"
    " sentence-transformers transformers faiss-cpu usearch"
).split()
# The relative speed of the precisions depends on these instructions.
_INSTRUCTIONS = "avx2 avx512f avx512_vnni avx512_bf16 avx_vnni amx_tile amx_bf16 amx_int8 i8mm".split()


def describe() -> Mapping[str, str]:
    """Return the processor, its instructions and the installed versions, by name."""
    memory = f", {_memory()} GB memory" if hasattr(os, "sysconf") else ""
    instructions = ", ".join(name for name in _INSTRUCTIONS if name in _cpu_info("flags").split())
    return {
        "CPU": f"{_cpu_name()}, {THREADS} cores{memory}",
        "instructions": instructions or "unknown",
        "versions": ", ".join([f"Python {platform.python_version()}", *_versions()]),
    }


def conditions() -> Mapping[str, str]:
    """Return the date and the load of the machine, by name."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {"date": datetime.date.today().isoformat(), "load average before": load}


def _versions() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:  # Only the environments for peers have all of them.
            continue


def _cpu_name() -> str:
    if platform.system() == "Darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _cpu_info(name: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
