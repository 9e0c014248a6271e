"""The documentation is true: examples, run on the real model, print what it says; errors read as it quotes them."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

# The adapters' need packages of their own.
MODULES = [path for path in (ROOT / "minilm_jax").rglob("*.py") if "integrations" not in path.parts]


def with_examples(paths: list[Path]) -> list[Path]:
    return sorted(path for path in paths if ">>> " in path.read_text("utf-8"))


def in_docstrings(path: Path) -> list[doctest.DocTest]:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return [test for test in doctest.DocTestFinder().find(importlib.import_module(name)) if test.examples]


def in_page(path: Path) -> doctest.DocTest:
    text = re.sub("^```.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
    return doctest.DocTestParser().get_doctest(text, {}, path.name, str(path), 0)


TESTS = [
    *(test for path in with_examples(MODULES) for test in in_docstrings(path)),
    *map(in_page, with_examples([*(ROOT / "docs").rglob("*.md")])),
]


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_an_example_prints_what_it_says(test: doctest.DocTest) -> None:
    report: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert results.attempted
    assert not results.failed, "".join(report)


def test_messages_are_quoted_as_they_are() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    terms = re.findall(r"^(.*)\n: ", page, flags=re.MULTILINE)
    quoted = [piece.strip(" '") for term in terms for code in re.findall("`(.+?)`", term) for piece in code.split("…")]
    sources = [
        path.read_text("utf-8") for folder in ("minilm_jax", "convert") for path in (ROOT / folder).rglob("*.py")
    ]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    said = "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    telling = [piece for piece in quoted if len(piece) > 15]
    assert len(telling) > 30
    assert [piece for piece in telling if piece not in said] == []
