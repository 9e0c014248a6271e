"""The `minilm-jax info` command."""

import json
from collections.abc import Mapping
from typing import Any

import click

from minilm_jax.cli.terminal import render_size


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(as_json: bool) -> None:
    """Print versions, devices, cached files, and any problem found.

    \b
      minilm-jax info                          the last line is the verdict
      minilm-jax info --json | jq .verdict

    Reads every model file and compares its sha256 with the published one. Downloads nothing.
    """
    from minilm_jax.cli import installation

    facts = installation.collect_facts()
    facts["verdict"] = installation.verdict(facts)
    click.echo(json.dumps(facts, indent=1) if as_json else _render(facts))


def _render(facts: Mapping[str, Any]) -> str:
    programs, free = facts["programs"], facts["free_bytes"]
    stored = f"{programs['files']} files, {render_size(programs['bytes'])} in {programs['folder']}"
    lines = [f"{name:<12}{version or 'not installed'}" for name, version in facts["versions"].items()]
    lines += [
        f"{'devices':<12}{', '.join(facts['devices']) or 'none'}",
        f"{'cache':<12}{facts['cache_folder']}, {render_size(free)} free",
        f"{'programs':<12}{stored if programs['folder'] else 'not stored'}",
        "",
        facts["model"],
    ]
    for file in facts["model_files"]:
        size = "" if file["bytes"] is None else render_size(file["bytes"])
        lines.append(f"  {file['state']:<9}{size:>8}  {(file['sha256'] or '')[:12]:<12}  {file['name']}")
    return "\n".join([*lines, "", facts["verdict"]])
