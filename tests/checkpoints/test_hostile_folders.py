"""Untrusted configs and orbax folders: each raises `ModelFileError` within bounded time and memory."""

import json
from pathlib import Path
from typing import Any

import pytest

import minilm_jax as mj
from minilm_jax.checkpoints.folder_config import read_config
from minilm_jax.nn.params import Params
from tests.helpers.limits import bounded
from tests.helpers.tiny_model import TINY

DEEP = b"[" * 10**5
CONFIG = mj.ALL_MINILM_L6_V2.to_dict()
SIZES = [name for name, value in TINY.to_dict().items() if type(value) is int]
LONGEST_MESSAGE = 1_000


def config_error(folder: Path, file: str, content: bytes) -> str:
    """Read the folder with this content in `file`; return the message of the error."""
    (folder / file).write_bytes(content)
    with bounded(), pytest.raises(mj.ModelFileError) as caught:
        read_config(folder)
    assert file in str(caught.value)
    assert len(str(caught.value)) < LONGEST_MESSAGE
    return str(caught.value)


@pytest.mark.parametrize("content", [DEEP, b'{"a":' * 10**5, b'{"hidden_size":' + b"9" * 5_000 + b"}", b"\xff", b""])
def test_config_that_is_not_json_raises_error(tmp_path: Path, content: bytes) -> None:
    config_error(tmp_path, "config.json", content)


@pytest.mark.parametrize("field", [*SIZES, "layer_norm_eps", "normalize", "hidden_act", "pooling", "model_type"])
@pytest.mark.parametrize("value", [2**40, -1, float("nan"), float("inf"), "x" * 10**6, [[1]], {}, None])
def test_config_value_of_the_wrong_type_raises_error(tmp_path: Path, field: str, value: Any) -> None:
    assert field in config_error(tmp_path, "config.json", json.dumps(CONFIG | {field: value}).encode())


def test_deeply_nested_config_value_raises_error(tmp_path: Path) -> None:
    for depth in range(800, 1_000, 7):
        value = b"[" * depth + b"]" * depth
        config_error(tmp_path, "config.json", json.dumps(CONFIG)[:-1].encode() + b', "hidden_act": ' + value + b"}")


@pytest.mark.parametrize("file", ["modules.json", "1_Pooling/config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"3", b"null", b'"text"', b"\xff", DEEP])
def test_damaged_module_file_raises_error(tmp_path: Path, file: str, content: bytes) -> None:
    plain = {name: value for name, value in CONFIG.items() if name not in ("pooling", "normalize")}
    (tmp_path / "config.json").write_text(json.dumps(plain), "utf-8")
    (tmp_path / "1_Pooling").mkdir()
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    entries = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules]
    (tmp_path / "modules.json").write_text(json.dumps(entries), "utf-8")
    config_error(tmp_path, file, content)


def test_damaged_orbax_metadata_raises_error(tiny_params: Params, tmp_path: Path) -> None:
    path = tmp_path / "params.orbax"
    mj.save_params(tiny_params, path)
    for content in (b"", b"{}", b"[]", DEEP):
        (path / "_METADATA").write_bytes(content)
        with pytest.raises(mj.ModelFileError, match=path.name):
            mj.load_params(path, TINY)


def test_orbax_array_of_a_terabyte_raises_error_before_it_is_read(tiny_params: Params, tmp_path: Path) -> None:
    import tensorstore

    path = tmp_path / "params.orbax"
    mj.save_params(tiny_params, path)
    store = {"driver": "ocdbt", "base": f"file://{path}/", "path": "embeddings.LayerNorm.bias/"}
    metadata = {"shape": [2**28, 2**10], "chunks": [1024, 1024], "dtype": "<f4"}
    spec = {"driver": "zarr", "kvstore": store, "metadata": metadata, "create": True, "delete_existing": True}
    tensorstore.open(spec).result()
    with bounded(megabytes=1024), pytest.raises(mj.ModelFileError, match="268435456, 1024"):
        mj.load_params(path, TINY)
