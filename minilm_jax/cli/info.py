"""`minilm-jax info`."""

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import click

_PACKAGES = ("minilm-jax", "jax", "jaxlib", "flax", "onnx", "tokenizers")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(as_json: bool) -> None:
    """Print versions, devices and what is cached; downloads nothing."""
    facts = _gather()
    click.echo(json.dumps(facts, indent=1) if as_json else _render(facts))


def _gather() -> dict[str, Any]:
    from minilm_jax.model_files import DEFAULT_MODEL, cache_folder

    cache = cache_folder()
    compiled = _files(cache / "xla")
    facts = {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "devices": _devices(),
        "cache_folder": str(cache),
        "model": DEFAULT_MODEL,
        "model_files": _model_files(cache / DEFAULT_MODEL),
        "compilation_cache": {"files": len(compiled), "bytes": sum(path.stat().st_size for path in compiled)},
    }
    return {**facts, "verdict": _verdict(facts)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    import jax

    try:
        return [f"{device.platform}: {device.device_kind}" for device in jax.devices()]
    except RuntimeError:  # JAX_PLATFORMS names a backend that is not there.
        return []


def _model_files(folder: Path) -> list[dict[str, Any]]:
    """Returns what the model needs, and what else lies in its folder, such as files converted from it."""
    from minilm_jax.model_files import FILES_FOR_INFERENCE, PINNED_ALL_MINILM_L6_V2

    found = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}
    rows = []
    for name in FILES_FOR_INFERENCE:
        size = found.pop(name, None)
        intact = PINNED_ALL_MINILM_L6_V2.file(name).matches(folder / name)
        rows.append({"name": name, "bytes": size, "state": "intact" if intact else "damaged" if size else "missing"})
    return rows + [{"name": name, "bytes": size, "state": "extra"} for name, size in found.items()]


def _files(folder: Path) -> list[Path]:
    hidden = ("verified.json",)
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in hidden and not p.name.startswith("."))


def _verdict(facts: dict[str, Any]) -> str:
    states = {file["state"] for file in facts["model_files"]}
    if not facts["devices"]:
        return "Not ready: JAX finds no device; unset JAX_PLATFORMS, or install the extra for it, such as cuda12."
    if "damaged" in states:
        return "Ready but for the model: a file of it is damaged, and is obtained again when first needed."
    if "missing" in states:
        return "Ready but for the model: it is obtained when first needed (91 MB)."
    return f"Ready: {facts['model']} on {facts['devices'][0]}."


def _render(facts: dict[str, Any]) -> str:
    from minilm_jax.terminal import render_size

    compiled = facts["compilation_cache"]
    lines = [f"{name:<12}{version or 'not installed'}" for name, version in facts["versions"].items()]
    lines += [f"{'devices':<12}{', '.join(facts['devices']) or 'none'}", f"{'cache':<12}{facts['cache_folder']}"]
    lines += [f"{'compiled':<12}{compiled['files']} files, {render_size(compiled['bytes'])}", "", facts["model"]]
    for file in facts["model_files"]:
        size = "" if file["bytes"] is None else render_size(file["bytes"])
        lines.append(f"  {file['state']:<9}{size:>8}  {file['name']}")
    return "\n".join([*lines, "", facts["verdict"]])
