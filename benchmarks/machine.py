"""What a reader must know of the machine and the versions to judge the numbers."""

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("minilm-jax", "jax", "jaxlib", "flax", "torch", "sentence-transformers", "transformers")


def describe() -> dict[str, str]:
    """Returns the lines that describe machine, versions and day, by their names."""
    return {
        "CPU": f"{_cpu_name()}, {os.cpu_count()} cores"
        + (f", {_memory()} GB memory" if hasattr(os, "sysconf") else ""),
        "load before": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _PACKAGES)]
        ),
        "date": datetime.date.today().isoformat(),
    }


def _cpu_name() -> str:
    if platform.system() == "Linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    return platform.processor() or platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
