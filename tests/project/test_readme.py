"""The README: its examples print the output shown, and its links lead to files and headings that exist."""

import contextlib
import io
import re

import pytest

from tests.helpers.paths import ROOT

TEXT = (ROOT / "README.md").read_text("utf-8")


def test_readme_examples_print_the_output_shown() -> None:
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, flags=re.DOTALL)
    names: dict[str, object] = {}  # One namespace, because later examples continue earlier ones.
    for code, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert printed.getvalue() == expected
    assert len(blocks) == TEXT.count("```python")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXT))))
def test_readme_link_target_exists(target: str) -> None:
    if target.startswith("#"):
        headings = re.findall(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)
        assert target[1:] in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    else:
        assert (ROOT / target).exists()
