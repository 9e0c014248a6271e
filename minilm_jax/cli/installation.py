"""Facts about the installation, the devices and the cache on this machine, and the most serious problem among them."""

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, FILES_FOR_INFERENCE, cache_folder, programs_folder
from minilm_jax.checkpoints.sources import PINNED_ALL_MINILM_L6_V2, sha256_of

_PACKAGES = ("minilm-jax", "jax", "jaxlib", "flax", "onnx", "tokenizers")
# An accelerator has a name, device files on Linux, a platform in JAX, and a package that supports it.
_ACCELERATORS = (
    ("an NVIDIA GPU", "nvidia[0-9]*", "gpu", "jax[cuda12]"),
    ("a TPU", "accel[0-9]*", "tpu", "jax[tpu]"),
)
# A download from the package index temporarily stores the model twice: in the wheel, and unpacked.
_BYTES_TO_DOWNLOAD = 180_000_000


def collect_facts(devices_folder: Path = Path("/dev")) -> dict[str, Any]:
    """Return the facts that `minilm-jax info` prints, without downloading or creating anything.

    Args:
        devices_folder: Folder in which the operating system lists its devices.

    Returns:
        The JSON object that `minilm-jax info --json` prints, without the verdict.
    """
    cache = cache_folder()
    existing = next(path for path in (cache, *cache.parents) if path.is_dir())
    programs = programs_folder()
    compiled = _files(programs) if programs is not None else []
    devices, reason = _devices()
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "outdated": list(_outdated()),
        "devices": devices,
        "no_devices_because": reason,
        "unused": list(_unused_accelerators(devices, devices_folder)),
        "cache_folder": str(cache),
        "cache_writable": os.access(existing, os.W_OK),
        "free_bytes": shutil.disk_usage(existing).free,
        "model": DEFAULT_MODEL,
        "model_files": list(_model_files(cache / DEFAULT_MODEL)),
        "programs": {
            "folder": programs and str(programs),
            "files": len(compiled),
            "bytes": sum(path.stat().st_size for path in compiled),
        },
    }


def verdict(facts: Mapping[str, Any]) -> str:
    """Return one line: "Ready", or the most serious problem and how to fix it."""
    if not facts["devices"]:
        return f"Not ready: {facts['no_devices_because']}"
    if facts["outdated"]:
        requirement, version = facts["outdated"][0]
        return f"Not ready: {requirement} is required, but {version} is installed; run `pip install '{requirement}'`."
    states = {file["state"] for file in facts["model_files"]}
    if "damaged" in states or "missing" in states:
        return f"Ready, except for the model: {_model_problem(facts, damaged='damaged' in states)}"
    if facts["unused"]:
        name, package = facts["unused"][0]
        return f"Ready, on CPU only: there is {name}, but this jax cannot use it; run `pip install '{package}'`."
    return f"Ready: {facts['model']} on {facts['devices'][0]}."


def _model_problem(facts: Mapping[str, Any], *, damaged: bool) -> str:
    folder = facts["cache_folder"]
    if not facts["cache_writable"]:
        return f"{folder} is not writable; choose another folder with MINILM_JAX_CACHE."
    if facts["free_bytes"] < _BYTES_TO_DOWNLOAD:
        needed, free = _BYTES_TO_DOWNLOAD / 1e6, facts["free_bytes"] / 1e6
        return (
            f"downloading it needs {needed:.0f} MB, but {folder} has only {free:.0f} MB free; choose another folder"
            " with MINILM_JAX_CACHE."
        )
    if damaged:
        return "one of its files is damaged, and will be downloaded again when it is first used."
    return "it will be downloaded when it is first used (91 MB)."


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _outdated() -> Iterator[tuple[str, str]]:
    """Yield each requirement of minilm-jax that is not met, such as "jax>=0.7.2", and the installed version."""
    from packaging.requirements import Requirement

    requirements = metadata.requires("minilm-jax") if _version("minilm-jax") else None
    for requirement in map(Requirement, requirements or ()):
        version = None if requirement.marker else _version(requirement.name)
        if version and not requirement.specifier.contains(version, prereleases=True):
            yield str(requirement), version


def _devices() -> tuple[list[str], str | None]:
    """Return the devices that JAX finds, or an empty list and the reason."""
    try:
        import jax

        return [f"{device.platform}: {device.device_kind}" for device in jax.devices()], None
    # JAX raises RuntimeError if JAX_PLATFORMS names a missing platform, and ImportError if jax and jaxlib do not match.
    except (ImportError, RuntimeError) as error:
        chosen = os.environ.get("JAX_PLATFORMS")
        advice = "unset JAX_PLATFORMS, or install the extra for it, such as cuda12" if chosen else "reinstall jax"
        return [], f"JAX finds no device ({str(error).partition(chr(10))[0]}); {advice}."


def _unused_accelerators(devices: list[str], folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each accelerator of this machine that JAX does not use, and the package that supports it.

    With JAX_PLATFORMS set, the choice of devices is deliberate, so nothing is yielded.
    """
    used = {device.partition(":")[0] for device in devices}
    for name, pattern, kind, package in _ACCELERATORS:
        if not os.environ.get("JAX_PLATFORMS") and kind not in used and any(folder.glob(pattern)):
            yield name, package


def _model_files(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the name, size, sha256 and state of each required file, then of other files in the model folder."""
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
    """Return all files under a folder, except hidden ones and the record of verified hashes."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in files if path.name != "verified.json")
