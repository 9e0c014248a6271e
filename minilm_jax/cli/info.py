"""`minilm-jax info`."""

import json
from collections.abc import Mapping
from typing import Any

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(as_json: bool) -> None:
    """Print versions, devices, what is cached, and what is off.

    \b
      minilm-jax info                          the last line is the verdict
      minilm-jax info --json | jq .verdict

    Every model file is read and its sha256 compared with the published one. Nothing is downloaded.
    """
    from minilm_jax.cli import installation

    facts = installation.collect_facts()
    facts["verdict"] = installation.verdict(facts)
    click.echo(json.dumps(facts, indent=1) if as_json else _render(facts))


def _render(facts: Mapping[str, Any]) -> str:
    from minilm_jax.cli.terminal import render_size

    compiled, free = facts["compilation_cache"], facts["free_bytes"]
    lines = [f"{name:<12}{version or 'not installed'}" for name, version in facts["versions"].items()]
    lines += [
        f"{'devices':<12}{', '.join(facts['devices']) or 'none'}",
        f"{'cache':<12}{facts['cache_folder']}, {render_size(free)} free",
        f"{'compiled':<12}{compiled['files']} files, {render_size(compiled['bytes'])}",
        "",
        facts["model"],
    ]
    for file in facts["model_files"]:
        size = "" if file["bytes"] is None else render_size(file["bytes"])
        lines.append(f"  {file['state']:<9}{size:>8}  {(file['sha256'] or '')[:12]:<12}  {file['name']}")
    return "\n".join([*lines, "", facts["verdict"]])
