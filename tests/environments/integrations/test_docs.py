"""Output of the code on the documentation pages of the adapters."""

import re
from pathlib import Path

import pytest

from tests.helpers.paths import DOCS

PAGES = DOCS / "integrations"


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_code_of_the_page_prints_the_output_shown_there(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code, shown), *others = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page.read_text("utf-8"), re.S)
    assert not others
    exec(compile(code, page, "exec"), {})
    assert capsys.readouterr().out == shown
