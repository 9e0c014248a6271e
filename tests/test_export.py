"""Exported programs: equal to `embed`, runnable without minilm_jax, lowered for each platform, checked for damage."""

import dataclasses
import functools
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import jax
import numpy as np
import pytest
from jax import export
from numpy.typing import NDArray

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.export import PLATFORMS, save_exported
from minilm_jax.nn.params import Params
from tests.helpers.command_line import command
from tests.helpers.small_heads import NLI, cross_encoder, sparse_encoder
from tests.helpers.tiny_model import TINY, random_params
from tests.helpers.tolerances import TOKEN_VECTORS, UNIT_VECTORS

# Small, so that it compiles quickly, but with the vocabulary of the real tokenizer.
SMALL = dataclasses.replace(TINY, vocab_size=30_522, num_hidden_layers=1)

# A program that runs an export with only jax and flatbuffers, and safetensors if the weights are in a separate file.
_ALONE = """
import sys
sys.modules["minilm_jax"] = None
import jax, numpy as np
path, ids, mask, types, found = sys.argv[1:6]
program = jax.export.deserialize(bytearray(open(path, "rb").read()))
arguments = [np.load(ids), np.load(mask), np.load(types)]
if sys.argv[6:]:
    from safetensors.flax import load_file
    arguments.insert(0, load_file(sys.argv[6]))
np.save(found, jax.jit(program.call)(*arguments))
try:
    import minilm_jax
except ImportError:
    print("alone")
"""


@functools.cache
def small_params() -> Params:
    return random_params(SMALL, seed=0)


def small_model(encoder: mj.SentenceEncoder, precision: Precision = "float32") -> mj.SentenceEncoder:
    params = mj.cast(small_params(), precision, SMALL)
    return mj.SentenceEncoder(params, SMALL, encoder.tokenizer, max_seq_length=16)


def random_batch(rows: int, length: int) -> mj.Batch:
    random = np.random.default_rng(rows * length)
    mask = np.arange(length) < random.integers(1, length + 1, rows)[:, None]
    return mj.Batch(random.integers(SMALL.vocab_size, size=(rows, length)), mask)


def run_alone(path: Path, batch: mj.Batch, *weights: Path) -> NDArray[np.float32]:
    ids, mask, types, found = (path.with_name(f"{name}.npy") for name in ("ids", "mask", "types", "found"))
    np.save(ids, batch.input_ids.astype(np.int32))
    np.save(mask, batch.attention_mask.astype(np.int32))
    np.save(types, np.zeros(batch.input_ids.shape, np.int32) if batch.token_type_ids is None else batch.token_type_ids)
    code = [sys.executable, "-c", _ALONE, *map(str, (path, ids, mask, types, found, *weights))]
    assert subprocess.check_output(code, text=True, cwd=path.parent).strip() == "alone"
    return np.load(found)


def test_exported_real_model_runs_without_minilm_jax(tmp_path: Path, encoder: mj.SentenceEncoder) -> None:
    path, batch = tmp_path / "minilm.stablehlo", random_batch(3, 130)
    save_exported(encoder, path)
    wanted = np.asarray(jax.jit(mj.embed)(encoder.params, batch))
    np.testing.assert_allclose(run_alone(path, batch), wanted, rtol=0, atol=UNIT_VECTORS)


def test_export_command_writes_weights_to_a_separate_file(tmp_path: Path, folder: Path) -> None:
    path, batch = tmp_path / "minilm.stablehlo", random_batch(2, 12)
    options = "--platforms", "tpu,cpu", "--precision", "int8", "--weights", "beside", "--max-seq-length", 99
    subprocess.run(command("export", "--model", folder, "--out", path, *options), check=True)
    assert path.stat().st_size < 500_000
    about = json.loads(path.read_bytes().splitlines()[-1])
    encoder = mj.SentenceEncoder.from_pretrained(folder, precision="int8")
    assert (about["precision"], about["platforms"], about["max_seq_length"]) == ("int8", ["tpu", "cpu"], 99)
    wanted = np.asarray(jax.jit(mj.embed)(encoder.params, batch))
    found = run_alone(path, batch, tmp_path / "minilm.stablehlo.safetensors")
    np.testing.assert_allclose(found, wanted, rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_array_equal(mj.load_exported(path)(batch), found)


@pytest.mark.parametrize("precision", get_args(Precision))
def test_exported_program_gives_the_vectors_of_embed(
    tmp_path: Path, encoder: mj.SentenceEncoder, precision: Precision
) -> None:
    model = small_model(encoder, precision)
    save_exported(model, tmp_path / "a")
    exported = mj.load_exported(tmp_path / "a")
    assert exported.about["precision"] == precision
    embed = jax.jit(mj.embed)
    for shape in [(1, 2), (5, 16)]:
        batch = random_batch(*shape)
        found = exported(batch.input_ids, batch.attention_mask)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, embed(model.params, batch, SMALL), rtol=0, atol=UNIT_VECTORS)


def test_exported_program_accepts_batches_and_checks_its_arguments(tmp_path: Path, encoder: mj.SentenceEncoder) -> None:
    save_exported(small_model(encoder), tmp_path / "a")
    exported = mj.load_exported(tmp_path / "a")
    batch = mj.tokenize(["Hello world", ""])
    assert exported(batch).shape == (2, SMALL.hidden_size)
    types = batch._replace(token_type_ids=np.ones_like(batch.input_ids))
    expected = mj.embed(small_params(), types, SMALL)
    np.testing.assert_allclose(exported(*types), expected, rtol=0, atol=UNIT_VECTORS)
    assert not np.allclose(exported(batch), expected, rtol=0, atol=UNIT_VECTORS)
    with pytest.raises(mj.InputError, match=r"token_type_ids has shape \(1, 8\), input_ids \(2, 8\)"):
        exported(batch._replace(token_type_ids=np.zeros((1, 8), int)))
    with pytest.raises(mj.InputError, match="pass an attention_mask of the same shape"):
        exported(batch.input_ids)
    np.testing.assert_allclose(jax.jit(exported)(batch), exported(batch), rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_allclose(jax.jit(exported)(types), expected, rtol=0, atol=UNIT_VECTORS)
    for shape in [(2, 17), (0, 4), (2, 0), (4,)]:
        with pytest.raises(mj.InputError, match=r"it must be \[B, T\] with 1 to 16 tokens per row"):
            exported(np.zeros(shape, int), np.zeros(shape, int))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_program_of_a_cross_encoder_gives_logits(tmp_path: Path, folder: Path, precision: Precision) -> None:
    exact = cross_encoder(folder, NLI)
    model = mj.CrossEncoder(mj.cast(exact.params, precision), tokenizer=exact.tokenizer, max_seq_length=40)
    save_exported(model, tmp_path / "a")
    exported, batch = mj.load_exported(tmp_path / "a"), mj.Batch(**model.tokenize([("one two", "three"), ("a", "b")]))
    assert exported.about["result"] == "classify"
    assert exported.about["labels"] == ["contradiction", "entailment", "neutral"]
    wanted = np.asarray(jax.jit(mj.classify)(model.params, batch))
    np.testing.assert_allclose(exported(batch), wanted, rtol=0, atol=TOKEN_VECTORS)
    np.testing.assert_allclose(run_alone(tmp_path / "a", batch), wanted, rtol=0, atol=TOKEN_VECTORS)
    assert not np.allclose(exported(batch.input_ids, batch.attention_mask), wanted, rtol=0, atol=TOKEN_VECTORS)


def test_export_command_chooses_the_program_by_the_model(tmp_path: Path, folder: Path) -> None:
    model = sparse_encoder(folder)
    model.save_pretrained(tmp_path / "model")
    path = tmp_path / "a"
    subprocess.run(command("export", "--model", tmp_path / "model", "--out", path, "--platforms", "cpu"), check=True)
    exported, batch = mj.load_exported(path), mj.tokenize(["one two three four", "five"])
    assert exported.about["result"] == "embed_sparse"
    wanted = np.asarray(jax.jit(mj.embed_sparse)(model.params, batch))
    np.testing.assert_allclose(exported(batch), wanted, rtol=0, atol=TOKEN_VECTORS)


# Types of the two operands and the result of the matrix products, by precision. int8 multiplies bytes on CPUs and
# bfloat16 elsewhere; `i8 i8 i32` is for compilers that cannot multiply uint8 by int8.
PRODUCTS: dict[Precision, set[str]] = {
    "float32": {"f32 f32 f32"},
    "bfloat16": {"bf16 bf16 f32"},
    "float16": {"f16 f16 f32"},
    "int8": {"ui8 i8 i32", "i8 i8 i32", "bf16 bf16 f32"},
}
# Pooling sums in float32.
POOLING = {"f32 f32 f32"}


@pytest.mark.parametrize("precision", get_args(Precision))
def test_exported_program_multiplies_in_the_chosen_precision(
    tmp_path: Path, encoder: mj.SentenceEncoder, precision: Precision
) -> None:
    save_exported(small_model(encoder, precision), tmp_path / "a")
    program = export.deserialize(bytearray((tmp_path / "a").read_bytes()))
    assert program.platforms == PLATFORMS
    text = program.mlir_module()
    assert products(text) == PRODUCTS[precision] | POOLING
    # `shape_assertion` checks the shapes of a call and is removed before compilation. Nothing may call the host.
    assert set(re.findall(r"custom_call @(\w+)", text)) == {"shape_assertion"}
    assert not re.search(r"f64|callback|infeed|outfeed|stablehlo\.(send|recv|all_|collective)", text)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_bfloat16_is_lowered_without_wider_products(platform: str) -> None:
    params = mj.cast(small_params(), "bfloat16", SMALL)
    lowered = export.export(jax.jit(mj.embed), platforms=[platform])(params, random_batch(4, 8), SMALL)
    assert products(lowered.mlir_module()) == PRODUCTS["bfloat16"] | POOLING


def products(text: str) -> set[str]:
    """Return the types of operands and result of every matrix product in a StableHLO module."""
    types = re.findall(r"stablehlo\.dot_general .* : (\(.*?\) -> \S+)", text)
    return {" ".join(re.findall(r"[x<]([a-z]+\d+)>", each)) for each in types}


def damaged(data: bytes) -> Sequence[bytes]:
    """Return files that are empty, changed in one byte, truncated, without a record, or with a hostile record."""
    flipped, half = bytearray(data), len(data) // 2
    flipped[half] ^= 1
    program = data[: data.rstrip(b"\n").rindex(b"\n")]
    records = [b"{}", b"[]", b"[" * 100_000, b'{"program": 1, "weights": "../a"}', b"\xff"]
    return [b"", b"\n", bytes(flipped), data[:1000], data[:half], program, *(program + b"\n" + r for r in records)]


def test_damaged_export_raises_error(tmp_path: Path, encoder: mj.SentenceEncoder) -> None:
    path = tmp_path / "a"
    with pytest.raises(mj.ModelFileError, match="a is missing, damaged or not an exported model"):
        mj.load_exported(path)
    save_exported(small_model(encoder), path)
    for data in damaged(path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(mj.ModelFileError, match="a is missing, damaged or not an exported model"):
            mj.load_exported(path)


def test_weights_of_another_export_raise_error(tmp_path: Path, encoder: mj.SentenceEncoder) -> None:
    save_exported(small_model(encoder), tmp_path / "a", weights="beside")
    save_exported(small_model(encoder, "bfloat16"), tmp_path / "b", weights="beside")
    (tmp_path / "b.safetensors").replace(tmp_path / "a.safetensors")
    for name in "ab":
        with pytest.raises(mj.ModelFileError, match=r"safetensors.*export it again"):
            mj.load_exported(tmp_path / name)


def test_export_for_another_platform_raises_error(tmp_path: Path, encoder: mj.SentenceEncoder) -> None:
    save_exported(small_model(encoder), tmp_path / "a", platforms=["tpu"])
    with pytest.raises(mj.ModelFileError, match="a program for tpu, but jax computes on cpu here"):
        mj.load_exported(tmp_path / "a")


def test_missing_flatbuffers_error_names_the_extra(
    tmp_path: Path, encoder: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    for use in (lambda: save_exported(encoder, tmp_path / "a"), lambda: mj.load_exported(tmp_path / "a")):
        with pytest.raises(mj.InputError, match=r"pip install 'minilm-jax\[export\]'"):
            use()


def test_unknown_platform_raises_error(tmp_path: Path, encoder: mj.SentenceEncoder) -> None:
    for platforms in (["gpu"], []):
        with pytest.raises(mj.InputError, match="it must be one of cpu, cuda, rocm, tpu"):
            save_exported(encoder, tmp_path / "a", platforms=platforms)
    result = subprocess.run(
        command("export", "--out", tmp_path / "a", "--platforms", "cpu,cudo"), stderr=subprocess.PIPE
    )
    assert result.returncode == 2
    assert b"Did you mean 'cuda'?" in result.stderr
    assert not list(tmp_path.iterdir())
