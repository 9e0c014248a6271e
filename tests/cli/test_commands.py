"""The command group and its smaller commands: help, errors, exit codes, completion, and `similarity`."""

import json
import re
import sys
import types

import click
import numpy as np
import pytest

from minilm_jax.cli import model_command
from minilm_jax.errors import InputError, ModelFileError
from tests.helpers.command_line import run_command
from tests.helpers.stub_encoder import StubEncoder


@pytest.mark.parametrize("arguments", [(), ("convert",), ("--help",)])
def test_help_shows_examples(arguments: tuple[str, ...]) -> None:
    result = run_command(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"\n +(minilm-jax|python -m convert) \w+ .*model\.onnx", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["similarity", "a"], "two texts or more"),
        (["nonsense"], "No such command"),
        (["embd"], "Did you mean 'embed'?"),
        (["completion", "cmd"], "is not one of"),
    ],
)
def test_wrong_usage_exits_with_2(no_model: None, arguments: list[str], message: str) -> None:
    result = run_command(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize("error", [ModelFileError("no such model"), InputError("x"), OSError(28, "No space left")])
def test_expected_errors_show_a_traceback_only_with_debug(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(model_command, "load_encoder", fail)
    result = run_command("embed", "a")
    assert (result.exit_code, result.stderr) == (1, f"error: {error}\n")
    assert run_command("--debug", "embed", "a").exception is error


def test_unexpected_errors_show_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: {}["bug"])
    assert isinstance(run_command("embed", "a").exception, KeyError)


def test_similarity_prints_one_number_for_two_texts_and_a_matrix_for_more(stub_encoder: StubEncoder) -> None:
    assert run_command("similarity", "ab", "ab").stdout == "1.0000\n"
    assert len(run_command("similarity", "a", "b", "c").stdout.splitlines()) == 4
    result = json.loads(run_command("similarity", "a", "b", "--json").stdout)
    assert result["texts"] == ["a", "b"]
    assert np.diag(result["similarity"]) == pytest.approx([1, 1])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell: str) -> None:
    assert "_MINILM_JAX_COMPLETE" in run_command("completion", shell).stdout


def test_convert_passes_all_arguments_to_the_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    group = click.Group(commands={"go": click.Command("go", params=[click.Argument(["x"])], callback=click.echo)})
    monkeypatch.setitem(sys.modules, "convert.__main__", types.SimpleNamespace(main=group))
    assert "convert go [OPTIONS] X" in run_command("convert", "go", "--help").stdout
    assert run_command("convert", "--nonsense").exit_code == 2
