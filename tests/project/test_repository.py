"""The repository address, the pinned versions and the make targets agree wherever they are written."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import DOCS, ROOT, TESTS

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ADDRESS: str = PROJECT["urls"]["Repository"]
SLUG = ADDRESS.removeprefix("https://github.com/")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[1-9]_*.*"))
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *DOCS.rglob("*.yaml"), *(ROOT / ".github").rglob("*.*")]


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: str(path.relative_to(ROOT)))
def test_file_mentions_only_the_repository_address_of_pyproject(path: Path) -> None:
    text = path.read_text("utf-8")
    urls = re.findall(r"""https?://[^\s"'`)>\\]+/minilm-jax[^\s"'`)>\\]*""", text)
    assert [url for url in urls if f"/{SLUG}/" not in f"{url}/"] == []
    sources = re.findall(r"""git\+([^\s"'`\\]+)""", text)
    assert set(sources) <= {ADDRESS, "https://…"}


def test_project_urls_are_in_the_repository() -> None:
    assert all(f"{url}/".startswith(f"{ADDRESS}/") for url in PROJECT["urls"].values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_has_a_colab_badge_and_installs_from_the_repository(path: Path) -> None:
    text = path.read_text("utf-8")
    page = path.with_suffix(".ipynb").name
    assert f"(https://colab.research.google.com/github/{SLUG}/blob/main/notebooks/{page})" in text
    assert f"minilm-jax[plot,verify] @ git+{ADDRESS}" in text


def test_pre_commit_uses_the_ruff_version_of_the_lint_extra() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    versions = re.findall(r"repo: https://github.com/astral-sh/ruff-pre-commit\n +rev: v(\S+)", hooks)
    assert [f"ruff=={version}" for version in versions] == PROJECT["optional-dependencies"]["lint"][:1]


def test_oldest_versions_are_the_lower_bounds_of_pyproject() -> None:
    lines = (TESTS / "oldest.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    bounds = dict(dependency.split(">=") for dependency in PROJECT["dependencies"])
    assert set(bounds) <= set(pinned)
    assert [name for name, bound in bounds.items() if not f"{pinned[name]}.".startswith(f"{bound}.")] == []


def test_documented_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    pattern = r"(?:`make|run: make|^make) ((?:[a-z-]+ ?)+)(?=`|$| *#)"
    mentioned = {
        target
        for path in PAGES
        for names in re.findall(pattern, path.read_text("utf-8"), flags=re.MULTILINE)
        for target in names.split()
    }
    assert len(mentioned) > 10
    assert mentioned <= set(targets)
