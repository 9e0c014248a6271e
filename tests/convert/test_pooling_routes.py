"""One model on every route gives the same vectors, and a module that is not implemented the same error."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import minilm_jax as mj
from convert.flax_to_onnx import to_onnx
from convert.pipeline import convert_to_folder, folder_to_onnx, hub_to_folder
from minilm_jax.checkpoints.folder_config import Settings
from minilm_jax.checkpoints.folder_writer import write_model_folder
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.compiled import embed
from tests.helpers.json_files import write_json
from tests.helpers.small_tokenizer import write_tokenizer
from tests.helpers.tiny_model import TINY, TINY_BATCH, random_params
from tests.helpers.tolerances import UNIT_VECTORS

pytestmark = pytest.mark.usefixtures("graphs_run_here")

PROJECTIONS = mj.Projection("dense", 5, "tanh"), mj.Projection("layer_norm", 5)
CONFIG = dataclasses.replace(TINY, pooling="cls+mean_sqrt_len", projections=PROJECTIONS, normalize=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a model with two pooling modes, a Dense and a LayerNorm module, and an ONNX file."""
    params = random_params(CONFIG, 0)
    tokenizer = TextTokenizer(write_tokenizer(tmp_path))
    write_model_folder(tmp_path / "model", params, CONFIG, tokenizer, 16, Settings())
    (tmp_path / "model" / "onnx").mkdir()
    encoder = {name: leaf for name, leaf in params.items() if name != "projections"}
    onnx.save(to_onnx(encoder, TINY), tmp_path / "model" / "onnx" / "model.onnx")
    return tmp_path / "model"


def onnx_elsewhere(folder: Path) -> mj.EncoderParams:
    """Convert the ONNX file in another folder, with the model folder as --tokenizer."""
    graph = Path(shutil.copy(folder / "onnx" / "model.onnx", folder.parent / "alone.onnx"))
    return mj.load_params(convert_to_folder(graph, folder.parent / "out", tokenizer=folder)[0])


def round_trip(folder: Path) -> mj.EncoderParams:
    """Convert the folder, and its graph back."""
    converted, _ = hub_to_folder(folder, folder.parent / "flax", format="msgpack")
    folder_to_onnx(converted, folder.parent / "back.onnx")
    return mj.load_params(convert_to_folder(folder.parent / "back.onnx", folder.parent / "out", tokenizer=folder)[0])


ROUTES: dict[str, Callable[[Path], mj.EncoderParams]] = {
    "folder": mj.load_params,
    "safetensors file": lambda folder: mj.load_params(folder / "model.safetensors"),
    "ONNX file": lambda folder: mj.load_params(folder / "onnx" / "model.onnx"),
    "converted ONNX": lambda folder: mj.load_params(
        convert_to_folder(folder / "onnx" / "model.onnx", folder.parent / "out")[0]
    ),
    "converted ONNX elsewhere": onnx_elsewhere,
    "converted folder": lambda folder: mj.load_params(
        hub_to_folder(folder, folder.parent / "out", format="safetensors")[0]
    ),
    "there and back": round_trip,
}


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_gives_the_vectors_of_the_folder(folder: Path, route: str) -> None:
    wanted = embed(random_params(CONFIG, 0), TINY_BATCH)
    params = ROUTES[route](folder)
    assert params.config == CONFIG
    np.testing.assert_allclose(embed(params, TINY_BATCH), wanted, rtol=0, atol=UNIT_VECTORS)


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_refuses_a_module_by_name(folder: Path, route: str) -> None:
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    write_json(folder / "modules.json", [*modules, {"path": "9_CNN", "type": "sentence_transformers.models.CNN"}])
    with pytest.raises(mj.ModelFileError, match="CNN; implemented"):
        ROUTES[route](folder)


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_reports_a_damaged_pooling_file(folder: Path, route: str) -> None:
    (folder / "1_Pooling" / "config.json").write_text("{", "utf-8")
    with pytest.raises(mj.ModelFileError, match=r"1_Pooling.config\.json cannot be read"):
        ROUTES[route](folder)


def test_pooling_that_nothing_states_is_recorded_as_assumed(folder: Path, tmp_path: Path) -> None:
    graph = Path(shutil.copy(folder / "onnx" / "model.onnx", tmp_path / "alone.onnx"))
    (tmp_path / "texts").mkdir()
    shutil.copy(folder / "tokenizer.json", tmp_path / "texts")
    _, record = convert_to_folder(graph, tmp_path / "out", tokenizer=tmp_path / "texts")
    assert record["pooling"] == {"assumed": "mean", "source": None}
    converted, record = convert_to_folder(graph, tmp_path / "cls", tokenizer=tmp_path / "texts", pooling="cls")
    assert record["pooling"] == {"stated": "cls", "source": "--pooling"}
    assert mj.load_config(converted).pooling == "cls"
