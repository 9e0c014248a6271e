"""Output for people: matrices, tables, file sizes, and progress bars, which only a terminal shows."""

import io
import logging
import sys

import numpy as np
import pytest

from minilm_jax import progress
from minilm_jax.cli import main
from minilm_jax.cli.terminal import render_matrix, render_size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_matrix_shortens_and_cleans_its_labels() -> None:
    texts = ["A cat sleeps on the sofa", "犬が走る", "line\nend \x1b[31m"]
    matrix = np.eye(3) - 0.25
    assert render_matrix(texts, matrix, 44) == (
        "                             1      2      3\n"
        "1  A cat sleeps on the…  0.750 -0.250 -0.250\n"
        "2  犬が走る             -0.250  0.750 -0.250\n"
        "3  line end [31m        -0.250 -0.250  0.750"
    )


@pytest.mark.parametrize("count", [1, 3, 9, 40, 100])
def test_matrix_fits_the_width(count: int) -> None:
    lines = render_matrix(["word " * 40] * count, np.ones((count, count))).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.count("1.000") for line in lines) == count**2


def test_file_sizes_have_decimal_units() -> None:
    sizes = [render_size(size) for size in (0, 999, 1_000, 90_868_376, 2 * 10**9, 10**13)]
    assert sizes == ["0 B", "999 B", "1 kB", "90.9 MB", "2 GB", "1e+04 GB"]


def shown_by_stages(monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress.stages(1_000_000, ("reading", "verifying")) as done:
        done()
        done()
    return stderr.getvalue()


def test_stages_bar_shows_stage_percentage_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = shown_by_stages(monkeypatch, Terminal())
    assert "reading:   0%" in shown
    assert "verifying:  50%" in shown
    assert "1.00M/2.00M" in shown
    assert "B/s]" in shown


def test_output_other_than_a_terminal_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_by_stages(monkeypatch, io.StringIO()) == ""


def test_quiet_hides_bars_for_one_command_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    states: list[bool] = []
    monkeypatch.setattr(
        "minilm_jax.cli.model_command.load_encoder", lambda *_: states.append(progress.silenced()) or 1 / 0
    )
    for options in (["--quiet"], []):
        with pytest.raises(ZeroDivisionError):
            main(["embed", "a", *options])
    assert states == [True, False]
    caplog.set_level(logging.ERROR, "minilm_jax")
    assert shown_by_stages(monkeypatch, Terminal()) == ""
