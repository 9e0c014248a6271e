import json
import os
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from minilm_jax import __version__
from minilm_jax.cli import main, model_command
from minilm_jax.errors import InputError, ModelFileError
from tests.helpers.command_line import command

WIDTH = 5


class StubEncoder:
    """Embeds a text as its length and its first characters; longer than four characters counts as truncated."""

    max_seq_length = 4

    def __init__(self) -> None:
        self.stats = types.SimpleNamespace(texts=0, truncated=0)
        self.calls: list[tuple[int, int | None]] = []

    def encode(self, texts, *, batch_size=None, show_progress_bar=None):
        self.calls.append((len(texts), batch_size))
        self.stats.texts += len(texts)
        self.stats.truncated += sum(len(text) > 4 for text in texts)
        warnings.warn("1 of 2 texts are longer than 4 tokens", stacklevel=2)
        rows = [[len(text), *(text.encode()[:4].ljust(4))] for text in texts]
        return np.array(rows, np.float32).reshape(-1, WIDTH)


@pytest.fixture
def encoder(monkeypatch):
    stub = StubEncoder()
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: stub)
    return stub


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: pytest.fail("the model was loaded"))


def run(*arguments: object, input: str | bytes | None = None):
    return CliRunner().invoke(main, list(map(str, arguments)), input=input)


def records(output: str):
    return [json.loads(line) for line in output.splitlines()]


# embed, on a stub of the model


def test_texts_become_json_lines(encoder):
    result = run("embed", "ab", "--batch-size", 2, "")
    assert result.exit_code == 0
    assert records(result.stdout) == [
        {"text": "ab", "embedding": [2, 97, 98, 32, 32]},
        {"text": "", "embedding": [0, 32, 32, 32, 32]},
    ]
    assert result.stderr == ""
    assert encoder.calls == [(2, 2)]


@pytest.mark.parametrize("arguments", [["--file", "-"], ["-"]])
def test_standard_input(encoder, arguments):
    assert [r["text"] for r in records(run("embed", *arguments, input="a\n\nb").stdout)] == ["a", "", "b"]


def test_formats_may_be_named(encoder):
    result = run("embed", "--file", "-", "--from", "csv", "--field", "t", "--to", "csv", input="i,t\n1,abc\n")
    assert result.stdout == 'text,e0,e1,e2,e3,e4\n"abc",3,97,98,99,32\n'


def test_a_file_is_embedded_chunk_by_chunk(encoder, tmp_path):
    source, out = tmp_path / "in.txt", tmp_path / "out.npy"
    source.write_text("x\n" * 10_000)
    assert run("embed", "--file", source, "--out", out).exit_code == 0
    assert np.load(out).shape == (10_000, WIDTH)
    assert [count for count, _ in encoder.calls] == [4_096, 4_096, 1_808]


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv"])
def test_an_empty_file_gives_an_empty_array(encoder, tmp_path, suffix):
    source, out = tmp_path / f"in.{suffix}", tmp_path / "out.npy"
    source.touch()
    assert run("embed", "--file", source, "--out", out).exit_code == 0
    assert np.load(out).shape == (0, WIDTH)


def test_truncation_is_reported_once_with_the_total(encoder, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("a\nlonger\n" * 3_000)
    result = run("embed", "--file", source, "--out", tmp_path / "out.npy")
    assert result.stderr == (
        "3,000 of 6,000 texts were longer than 4 tokens and were cut there; --max-seq-length raises the limit.\n"
    )
    assert run("embed", "--quiet", "longer").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed"], "give either TEXTs or --file"),
        (["embed", "a", "--file", "in.txt"], "give either TEXTs or --file"),
        (["embed", "--file", "none.txt"], "'none.txt' does not exist."),
        (["embed", "--file", "inn.txt"], "does not exist. Did you mean 'in.txt'?"),
        (["embed", "a", "--precision", "float23"], "Did you mean 'float32'?"),
        (["embed", "--file", "in.log"], "none of .txt, .jsonl, .ndjson, .csv; name the format with --from"),
        (["embed", "a", "--out", "x.bin"], "none of .npy, .npz, .parquet, .jsonl, .csv; name the format with --to"),
        (["embed", "a", "--to", "npy"], "npy cannot go to standard output"),
        (["embed", "--file", "in.txt", "--out", "in.txt", "--to", "csv"], "the texts would be lost"),
        (["embed", "a", "--batch-size", "0"], "--batch-size"),
        (["similarity", "a"], "two texts or more"),
        (["nonsense"], "No such command"),
        (["embd"], "Did you mean 'embed'?"),
        (["embed", "--precison", "int8", "a"], "Did you mean '--precision'?"),
        (["embed", "a", "--out", "x.parqet"], "Did you mean '.parquet'?"),
        (["completion", "cmd"], "is not one of"),
    ],
)
def test_wrong_usage_exits_with_2_before_the_model_is_loaded(no_model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in ("in.txt", "in.log"):
        Path(name).touch()
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed", "a", "--out", "no/x.npy"], "no does not exist; create it first."),
        (["embed", "--file", "bad.jsonl"], "error: bad.jsonl, line 2: not JSON"),
        (["embed", "--file", "bad.jsonl", "--from", "csv"], "no column 'text'"),
    ],
)
def test_what_cannot_work_exits_with_1_before_the_model_is_loaded(no_model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text('{"text": "a"}\n{')
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert os.listdir() == ["bad.jsonl"]


@pytest.mark.parametrize("error", [ModelFileError("no such model"), InputError("x"), OSError(28, "No space left")])
def test_a_failed_job_says_so_without_a_traceback(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(model_command, "load_encoder", fail)
    result = run("embed", "a")
    assert (result.exit_code, result.stderr) == (1, f"error: {error}\n")
    assert run("--debug", "embed", "a").exception is error


def test_a_bug_shows_its_traceback(monkeypatch):
    monkeypatch.setattr(model_command, "load_encoder", lambda *_: {}["bug"])
    assert isinstance(run("embed", "a").exception, KeyError)


# the other commands


@pytest.mark.parametrize("arguments", [(), ("convert",), ("--help",)])
def test_help_teaches_by_examples(arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"\n +(minilm-jax|python -m convert) \w+ .*model\.onnx", result.stdout)


def test_similarity(encoder):
    assert run("similarity", "ab", "ab").stdout == "1.0000\n"
    assert len(run("similarity", "a", "b", "c").stdout.splitlines()) == 4
    result = json.loads(run("similarity", "a", "b", "--json").stdout)
    assert result["texts"] == ["a", "b"]
    assert np.diag(result["similarity"]) == pytest.approx([1, 1])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    assert "_MINILM_JAX_COMPLETE" in run("completion", shell).stdout


def test_convert_and_demo_are_passed_on_to(monkeypatch):
    import click

    group = click.Group(commands={"go": click.Command("go", params=[click.Argument(["x"])], callback=click.echo)})
    monkeypatch.setitem(sys.modules, "convert.__main__", types.SimpleNamespace(main=group))
    monkeypatch.setitem(sys.modules, "minilm_jax.cli.demo", types.SimpleNamespace(run=lambda: click.echo("shown")))
    assert "convert go [OPTIONS] X" in run("convert", "go", "--help").stdout
    assert run("convert", "--nonsense").exit_code == 2
    assert run("--no-compilation-cache", "demo").stdout == "shown\n"


# the real process


def test_help_and_version_import_nothing_large():
    code = "import sys; from minilm_jax.cli import main; main(['{}'], standalone_mode=False); print(*sys.modules)"
    for option in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", code.format(option)], capture_output=True, text=True, check=True)
        assert not {"jax", "numpy", "onnx", "convert", "tqdm", "pyarrow"} & set(done.stdout.splitlines()[-1].split())
    assert subprocess.check_output(command("--version"), text=True) == f"minilm-jax, version {__version__}\n"


def test_the_real_model_through_a_pipe(tmp_path):
    out = tmp_path / "out.npz"
    subprocess.run(command("embed", "--file", "-", "--out", out), input=b"hello world\n", check=True)
    expected = [-0.034478, 0.03102, 0.00673, 0.02611, -0.039362]  # fastembed's, as published
    np.testing.assert_allclose(np.load(out)["embeddings"][0, :5], expected, atol=1e-5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_on_standard_output():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command("embed", "a"), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: [Errno 28] No space left on device")


def test_a_cache_folder_that_cannot_be_written_does_not_matter(tmp_path):
    (tmp_path / "xla").write_text("in the way")
    real = Path(os.environ.get("MINILM_JAX_CACHE") or json.loads(run("info", "--json").stdout)["cache_folder"])
    (tmp_path / "all-minilm-l6-v2").symlink_to(real / "all-minilm-l6-v2")
    done = subprocess.run(
        command("embed", "a"), env={**os.environ, "MINILM_JAX_CACHE": str(tmp_path)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
