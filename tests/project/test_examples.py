"""Examples in docstrings and pages print the documented output; quoted error messages occur in the code."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import jax
import pytest

from tests.helpers.paths import DOCS, ROOT

# The adapters need packages that this environment does not have.
MODULES = [path for path in (ROOT / "minilm_jax").rglob("*.py") if "integrations" not in path.parts]


def files_with_examples(paths: list[Path]) -> list[Path]:
    return sorted(path for path in paths if ">>> " in path.read_text("utf-8"))


def docstring_examples(path: Path) -> list[doctest.DocTest]:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return [test for test in doctest.DocTestFinder().find(importlib.import_module(name)) if test.examples]


def page_examples(path: Path) -> doctest.DocTest:
    text = re.sub("^```.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
    return doctest.DocTestParser().get_doctest(text, {}, path.name, str(path), 0)


EXAMPLES = [
    *(test for path in files_with_examples(MODULES) for test in docstring_examples(path)),
    *map(page_examples, files_with_examples([*DOCS.rglob("*.md")])),
]


def quoted_messages() -> list[str]:
    """Return the fixed parts of the messages that docs/troubleshooting.md quotes."""
    terms = re.findall(r"^(.*)\n: ", (DOCS / "troubleshooting.md").read_text("utf-8"), flags=re.MULTILINE)
    return [part.strip(" '") for term in terms for code in re.findall("`(.+?)`", term) for part in code.split("…")]


def string_constants() -> str:
    """Return the string constants of both packages, one per line."""
    files = [path for folder in ("minilm_jax", "convert") for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_prints_the_documented_output(example: doctest.DocTest) -> None:
    report: list[str] = []
    # optax does not run with strict promotion.
    uses_optax = any("optax" in step.source for step in example.examples)
    with jax.numpy_dtype_promotion("standard" if uses_optax else "strict"):
        results = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert results.attempted
    assert not results.failed, "".join(report)


def test_troubleshooting_page_quotes_messages_that_occur_in_the_code() -> None:
    code = string_constants()
    specific = [message for message in quoted_messages() if len(message) > 15]
    assert len(specific) > 30
    assert [message for message in specific if message not in code] == []
