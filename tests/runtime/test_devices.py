"""Devices: one or several give the same vectors, and accelerators get packed rows and 16-bit transfers."""

import dataclasses
import json
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.nn.params import Params
from minilm_jax.runtime import devices as runtime_devices
from minilm_jax.runtime.devices import choose_devices
from minilm_jax.runtime.engine import Engine
from minilm_jax.runtime.program_choice import Outputs, Program, faster_program
from minilm_jax.runtime.programs import Programs
from tests.helpers.paths import GOLDEN
from tests.helpers.tiny_model import TINY
from tests.helpers.tolerances import ACCELERATOR_COSINE, COPY_IN_16_BITS, TOKEN_VECTORS, UNIT_VECTORS

TEXTS: list[str] = json.loads((GOLDEN / "texts.json").read_text("utf-8"))
MESHES = {
    "one axis": lambda: jax.make_mesh((8,), ("data",)),
    "two axes": lambda: jax.make_mesh((4, 2), ("data", "model")),
    "three devices": lambda: Mesh(np.array(jax.devices()[:3]), ("data",)),
}


@pytest.fixture(autouse=True)
def _ignore_truncation_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ of \d+ texts are longer")
        yield


def encoder_on(encoder: mj.SentenceEncoder, precision: Precision = "float32", **where: Any) -> mj.SentenceEncoder:
    """Return the encoder in another precision and on other devices."""
    params = mj.cast(encoder.params, precision)
    return mj.SentenceEncoder(params, encoder.config, encoder.tokenizer, encoder.max_seq_length, **where)


def test_several_devices_give_the_same_vectors(encoder: mj.SentenceEncoder) -> None:
    several = encoder_on(encoder, mesh=MESHES["one axis"]())
    texts = TEXTS[:13]  # Not a multiple of the number of devices.
    np.testing.assert_allclose(several.encode(texts), encoder.encode(texts), rtol=0, atol=UNIT_VECTORS)
    np.testing.assert_allclose(several.encode(texts[0]), encoder.encode(texts[0]), rtol=0, atol=UNIT_VECTORS)
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(several.params)} == {1}


@pytest.mark.parametrize("mesh", MESHES)
def test_batch_is_split_over_all_devices_of_a_mesh(tiny_params: Params, mesh: str) -> None:
    place = choose_devices(MESHES[mesh](), None)
    assert place is not None
    programs = Programs(tiny_params, TINY, place)
    batch = mj.Batch(np.arange(50, dtype=np.int32).reshape(10, 5), np.ones((10, 5), np.int32))
    assert len(jax.tree.leaves(programs.params)[0].sharding.device_set) == place.count
    np.testing.assert_allclose(programs(batch), Programs(tiny_params, TINY)(batch), rtol=0, atol=UNIT_VECTORS)
    assert [key.shape for key in programs._made] == [(12 if place.count == 3 else 16, 5)]


def test_several_devices_give_the_same_token_embeddings_and_batches(encoder: mj.SentenceEncoder) -> None:
    several, texts = encoder_on(encoder, devices=jax.devices()[:2]), TEXTS[:5]
    for found, wanted in zip(
        several.encode(texts, output_value="token_embeddings"),
        encoder.encode(texts, output_value="token_embeddings"),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOKEN_VECTORS)
    batch = mj.tokenize(texts)
    (found,), (wanted,) = several.embed_batches([batch]), encoder.embed_batches([batch])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=UNIT_VECTORS)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"mesh": MESHES["one axis"], "devices": "all"}, "mesh and devices both choose"),
        ({"devices": "every"}, "devices is 'every'; it must be 'all'"),
        ({"devices": []}, "none of the devices belongs to this process"),
    ],
)
def test_invalid_device_choice_raises_error(tiny_params: Params, where: dict[str, Any], message: str) -> None:
    where = {name: value() if callable(value) else value for name, value in where.items()}
    with pytest.raises(mj.InputError, match=message):
        mj.SentenceEncoder(tiny_params, TINY, **where)


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the CPU as an accelerator with small batches."""
    monkeypatch.setattr(runtime_devices, "_platform", lambda _: "tpu")
    small = dataclasses.replace(runtime_devices._ACCELERATOR_SHAPES, call_tokens=(2_048, 256), call_cost=64)
    monkeypatch.setattr(runtime_devices, "_ACCELERATOR_SHAPES", small)
    monkeypatch.setattr(runtime_devices, "_ACCELERATOR_CHUNK", 100)


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("devices", [None, "all"])
def test_accelerator_packs_rows_and_gives_the_same_vectors(encoder: mj.SentenceEncoder, devices: Any) -> None:
    texts = [f"{text[:60]} {number}" for number in range(8) for text in TEXTS[:20]]
    wanted = encoder.encode(texts)
    packed = encoder_on(encoder, devices=devices)
    np.testing.assert_allclose(packed.encode(texts), wanted, rtol=0, atol=UNIT_VECTORS)
    if devices is None:  # On eight devices, a single batch has room for all texts.
        assert packed.stats.padding < 0.3
    np.testing.assert_allclose(np.stack(list(packed.encode_stream(texts))), wanted, rtol=0, atol=UNIT_VECTORS)
    assert packed.stats.compilations <= 8


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("precision", ACCELERATOR_COSINE)
def test_accelerator_transfers_use_16_bits(encoder: mj.SentenceEncoder, precision: Precision) -> None:
    cast = encoder_on(encoder, precision)
    vectors = cast.encode(TEXTS[:5])
    assert vectors.dtype == np.float32
    cosines = (vectors * encoder.encode(TEXTS[:5])).sum(axis=1)
    assert cosines.min() > ACCELERATOR_COSINE[precision] - COPY_IN_16_BITS
    assert cast.stats.computed_in == ("bfloat16" if precision == "int8" else precision)
    (found,) = cast._engine.embed_batches([mj.tokenize(TEXTS[:2])])
    assert found.dtype == np.float16
    assert next(iter(cast._engine._programs._made)).dtypes[0] == "uint16"


@pytest.mark.usefixtures("accelerator")
def test_token_id_above_16_bits_gives_nan_on_accelerators(tiny_params: Params) -> None:
    engine = Engine(tiny_params, TINY)
    ids = np.array([[1, 2, 3], [1, 2, (1 << 16) + 3]], np.int32)
    (vectors,) = engine.embed_batches([mj.Batch(ids, np.ones_like(ids))])
    assert np.isfinite(vectors[0]).all()
    assert np.isnan(vectors[1]).all()


@pytest.mark.usefixtures("accelerator")
def test_gpu_without_cudnn_uses_xla_attention(encoder: mj.SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_devices, "_platform", lambda _: "gpu")
    cast = encoder_on(encoder, "bfloat16")
    assert [config.attention_implementation for config in cast._engine._programs._compiler.configs] == ["xla", "cudnn"]
    cosines = (cast.encode(TEXTS[:4]) * encoder.encode(TEXTS[:4])).sum(axis=1)
    assert cosines.min() > ACCELERATOR_COSINE["bfloat16"] - COPY_IN_16_BITS


def test_faster_program_is_used_only_if_its_result_agrees() -> None:
    batch = mj.Batch(np.ones((1, 2), np.int32), np.ones((1, 2), np.int32))

    def program(value: float, seconds: float) -> Program:
        vectors = jax.numpy.full((1, 4), value)
        return lambda _: (time.sleep(seconds), Outputs(vectors, vectors))[1]

    slow, fast, wrong = program(0.5, 0.05), program(0.501, 0), program(-0.5, 0)
    assert faster_program(slow, fast, batch) is fast
    assert faster_program(fast, slow, batch) is fast
    assert faster_program(slow, wrong, batch) is slow


_MEMBER = """
import sys, jax, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
port, number, folder, out = sys.argv[1:]
jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=int(number))
import minilm_jax as mj
assert (jax.process_count(), jax.device_count(), jax.local_device_count()) == (2, 4, 2)
encoder = mj.SentenceEncoder.from_pretrained(folder, mesh=jax.make_mesh((4,), ("data",)))
assert len(jax.tree.leaves(encoder._engine._programs.params)[0].sharding.device_set) == 2
texts = [f"Text number {i}." for i in range(9)]
np.save(out, encoder.encode(texts[jax.process_index() :: jax.process_count()]))
jax.distributed.shutdown()
"""


def test_two_processes_each_embed_their_part(encoder: mj.SentenceEncoder, folder: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    outs = [tmp_path / f"{number}.npy" for number in range(2)]
    commands = [[sys.executable, "-c", _MEMBER, str(port), str(i), str(folder), str(out)] for i, out in enumerate(outs)]
    for process in [subprocess.Popen(command) for command in commands]:
        assert process.wait(timeout=300) == 0
    wanted = encoder.encode([f"Text number {i}." for i in range(9)])
    for number, out in enumerate(outs):
        np.testing.assert_allclose(np.load(out), wanted[number::2], rtol=0, atol=UNIT_VECTORS)
