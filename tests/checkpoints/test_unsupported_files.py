"""Model files in other formats: the message tells what was found and what helps."""

from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import minilm_jax as mj
from tests.helpers.compiled import embed
from tests.helpers.tiny_model import TINY, TINY_BATCH


def failure(source: Path) -> str:
    with pytest.raises(mj.ModelFileError) as caught:
        mj.load_params(source)
    assert "Did you mean" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pytorch_model.bin", "a pickle, which can contain code"),
        ("model.pt", "a pickle"),
        ("model.Q8_0.gguf", "GGUF file"),
        ("tf_model.h5", "TensorFlow"),
        ("onnx/model.onnx", "python -m convert onnx_to_flax"),
        ("onnx/model_int8.onnx", "python -m convert onnx_to_flax"),
        ("0_Transformer/pytorch_model.bin", "a pickle"),
    ],
)
def test_folder_with_only_this_file_names_it_and_the_remedy(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    assert "does not contain weights" in failure(tmp_path)
    assert name in failure(tmp_path)
    assert message in failure(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.gguf"])
def test_file_in_an_unsupported_format_names_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert "save_pretrained" in failure(tmp_path / name)
    with pytest.raises(mj.ModelFileError, match="save_pretrained"):
        mj.SentenceEncoder(tmp_path / name)


def test_steps_of_a_checkpoint_manager_are_named(tiny_params: mj.EncoderParams, tmp_path: Path) -> None:
    with ocp.CheckpointManager(tmp_path / "run") as manager:
        for step in (9, 10):
            manager.save(step, args=ocp.args.StandardSave(dict(tiny_params)))
        manager.wait_until_finished()
    message = failure(tmp_path / "run")
    assert "CheckpointManager" in message
    assert str(tmp_path / "run" / "10" / "default") in message
    params = mj.load_params(tmp_path / "run" / "10" / "default", TINY)
    np.testing.assert_array_equal(embed(params, TINY_BATCH), embed(tiny_params, TINY_BATCH))


def test_checkpoint_of_several_devices_is_loaded_on_one(tiny_params: mj.EncoderParams, tmp_path: Path) -> None:
    mesh = jax.make_mesh((2,), ("model",))
    split = NamedSharding(mesh, PartitionSpec(None, "model"))
    whole = NamedSharding(mesh, PartitionSpec())
    placed = jax.tree.map(lambda leaf: jax.device_put(leaf, split if leaf.ndim == 2 else whole), dict(tiny_params))
    ocp.PyTreeCheckpointer().save(tmp_path / "sharded", placed)
    params = mj.load_params(tmp_path / "sharded", TINY)
    assert all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(params))
    np.testing.assert_array_equal(embed(params, TINY_BATCH), embed(tiny_params, TINY_BATCH))
