"""The parameter tree: its structure, its strict check, and its files in every format."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minilm_jax as mj
from minilm_jax.checkpoints.hub_names import from_hub, to_hub
from minilm_jax.config import ParamsFormat
from minilm_jax.nn.encoder import Embeddings, Layer, Pooler
from minilm_jax.nn.params import Params, abstract, check, flatten, unflatten
from tests.helpers.tiny_model import TINY


def equal(first: Params, second: Params) -> bool:
    own, other = flatten(first), flatten(second)
    return own.keys() == other.keys() and all(np.array_equal(own[path], other[path]) for path in own)


def test_abstract_tree_matches_the_modules() -> None:
    ids, hidden, mask = np.zeros((1, 3), np.int32), np.zeros((1, 3, 24), np.float32), np.ones((1, 3), bool)
    key = jax.random.key(0)

    def init(key: jax.Array) -> Params:
        layer = Layer(TINY).init(key, hidden, mask)["params"]
        return {
            "embeddings": Embeddings(TINY).init(key, ids, ids, ids)["params"],
            "encoder": {"layer": {str(i): layer for i in range(TINY.num_hidden_layers)}},
            "pooler": Pooler(TINY).init(key, hidden)["params"],
        }

    declared = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), jax.eval_shape(init, key))
    assert declared == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), abstract(TINY))


def test_abstract_tree_has_the_published_parameter_count() -> None:
    def count(tree: Params) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    assert count(abstract(mj.ALL_MINILM_L6_V2)) == 22_713_216
    assert count(abstract(mj.ALL_MINILM_L6_V2, pooler=False)) == 22_565_376


def test_unflatten_inverts_flatten(tiny_params: Params) -> None:
    assert equal(unflatten(flatten(tiny_params)), tiny_params)


def test_check_lists_all_mismatches_in_one_error(tiny_params: Params) -> None:
    leaves = flatten(tiny_params)
    del leaves["encoder.layer.1.output.dense.bias"]
    leaves["encoder.layer.7.output.dense.bias"] = np.zeros(24, np.float32)
    leaves["embeddings.LayerNorm.scale"] = np.zeros(23, np.float32)
    leaves["embeddings.LayerNorm.bias"] = np.zeros(24, np.float16)
    with pytest.raises(mj.ModelFileError) as error:
        check(unflatten(leaves), TINY)
    assert "- encoder.layer.1.output.dense.bias (24,)" in str(error.value)
    assert "+ encoder.layer.7.output.dense.bias (24,)" in str(error.value)
    assert "! embeddings.LayerNorm.scale is float32[23], not float32[24]" in str(error.value)
    assert "! embeddings.LayerNorm.bias is float16[24], not float32[24]" in str(error.value)


@pytest.mark.parametrize("format", ["safetensors", "msgpack", "orbax"])
def test_saved_params_load_unchanged(tiny_params: Params, tmp_path: Path, format: ParamsFormat) -> None:
    path = tmp_path / f"params.{format}"
    mj.save_params(tiny_params, path)
    mj.save_params(tiny_params, path)  # An existing file is replaced.
    assert equal(mj.load_params(path, TINY), tiny_params)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_non_contiguous_arrays_are_saved_correctly(tmp_path: Path, tiny_params: Params) -> None:
    # safetensors 0.8 alone writes wrong bytes for such arrays, without an error.
    fortran_ordered = jax.tree.map(lambda leaf: np.asarray(leaf).T.copy().T, tiny_params)
    mj.save_params(fortran_ordered, tmp_path / "params.safetensors")
    assert equal(mj.load_params(tmp_path / "params.safetensors", TINY), tiny_params)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Make writes fail in the middle of a file, as on a full disk; Python ignores the signal SIGXFSZ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", ["safetensors", "msgpack"])
def test_failed_save_keeps_the_old_file(tiny_params: Params, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"params.{suffix}"
    mj.save_params(tiny_params, path)
    before = path.read_bytes()
    doubled = jax.tree.map(lambda leaf: leaf * 2, tiny_params)
    with files_of_at_most(1_000), pytest.raises(OSError, match="File too large"):
        mj.save_params(doubled, path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_hub_names_convert_both_ways(weights: dict[str, np.ndarray], params: Params) -> None:
    there = to_hub(params)
    assert there.keys() == weights.keys() - {"embeddings.position_ids"}
    assert all(np.array_equal(there[name], weights[name]) for name in there)
    assert all(array.flags.c_contiguous for array in there.values())
    assert equal(unflatten(from_hub({f"bert.{name}": tensor for name, tensor in weights.items()})), params)


def test_float16_weights_load_as_float32(tiny_params: Params, tmp_path: Path) -> None:
    halves = {path: np.asarray(leaf).astype(np.float16) for path, leaf in flatten(tiny_params).items()}
    save_file(halves, tmp_path / "half.safetensors")
    loaded = flatten(mj.load_params(tmp_path / "half.safetensors", TINY))
    assert all(np.array_equal(loaded[path], half.astype(np.float32)) for path, half in halves.items())


@pytest.mark.parametrize("suffix", ["safetensors", "msgpack"])
@pytest.mark.parametrize("keep", [0, 5, 1000])
def test_damaged_params_file_raises_error_with_its_name(
    tiny_params: Params, tmp_path: Path, suffix: str, keep: int
) -> None:
    path = tmp_path / f"params.{suffix}"
    mj.save_params(tiny_params, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(mj.ModelFileError, match=path.name):
        mj.load_params(path, TINY)


def test_weights_of_another_config_raise_error(tiny_params: Params, tmp_path: Path) -> None:
    mj.save_params(dict(tiny_params), tmp_path / "params.safetensors")
    with pytest.raises(mj.ModelFileError, match="do not fit the config"):
        mj.load_params(tmp_path / "params.safetensors")


def test_unknown_suffix_raises_error(tiny_params: Params, tmp_path: Path) -> None:
    with pytest.raises(mj.ModelFileError, match=r"\.safetensors, \.msgpack, \.orbax"):
        mj.save_params(tiny_params, tmp_path / "params.npz")
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(mj.ModelFileError, match=r"weights\.bin"):
        mj.load_params(tmp_path / "weights.bin")


def test_folder_without_weights_raises_error(tmp_path: Path) -> None:
    with pytest.raises(mj.ModelFileError, match=r"model\.safetensors"):
        mj.load_params(tmp_path)


def test_save_params_does_not_change_its_argument(tiny_params: Params, tmp_path: Path) -> None:
    before = {path: np.asarray(leaf).copy() for path, leaf in flatten(tiny_params).items()}
    mj.save_params(tiny_params, tmp_path / "params.safetensors")
    assert load_file(tmp_path / "params.safetensors").keys() == before.keys() == flatten(tiny_params).keys()
