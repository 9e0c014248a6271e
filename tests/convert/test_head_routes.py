"""A cross-encoder and a sparse encoder on every route give the same results and keep their settings."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import minilm_jax as mj
from convert.flax_to_onnx import to_onnx
from convert.pipeline import convert_to_folder, folder_to_onnx, hub_to_folder
from minilm_jax.checkpoints.folder_config import Settings, read_settings
from minilm_jax.checkpoints.folder_writer import write_model_folder
from minilm_jax.config.heads import HEAD_FIELDS
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.json_files import write_json
from tests.helpers.small_tokenizer import write_tokenizer
from tests.helpers.tiny_model import TINY, TINY_BATCH, random_params
from tests.helpers.tolerances import TOKEN_VECTORS

pytestmark = pytest.mark.usefixtures("graphs_run_here")

PLAIN = dataclasses.replace(TINY, normalize=False)
LABELS = ("contradiction", "entailment", "neutral")
NLI = dataclasses.replace(PLAIN, classifier=mj.Classifier(LABELS, "tanh", "softmax"))
CONFIGS = {
    "reranker": dataclasses.replace(PLAIN, classifier=mj.Classifier(("relevant",), "tanh", "identity")),
    "nli": NLI,
    "roberta": dataclasses.replace(NLI, padding_idx=1, type_vocab_size=1),
    "distilbert": dataclasses.replace(PLAIN, classifier=mj.Classifier(("one", "two"), "relu"), type_vocab_size=1),
    "splade": dataclasses.replace(PLAIN, sparse_head=mj.SparseHead()),
    "splade-sum": dataclasses.replace(PLAIN, sparse_head=mj.SparseHead("sum", "log1p_relu")),
    "splade-roberta": dataclasses.replace(PLAIN, sparse_head=mj.SparseHead(), padding_idx=1, type_vocab_size=1),
}
SETTINGS = Settings(prompts={"query": "find: "}, default_prompt_name="query")
BATCH = TINY_BATCH._replace(token_type_ids=np.zeros_like(TINY_BATCH.input_ids))


def results(params: mj.EncoderParams) -> NDArray[np.float32]:
    compute = mj.classify if params.config.classifier else mj.embed_sparse
    return np.asarray(jax.jit(compute)(params, BATCH))


def model_of(config: mj.EncoderConfig) -> mj.EncoderParams:
    """Return random params, of which those of DistilBERT have no token types, as they have none in a checkpoint."""
    params = random_params(config, 0, pooler=False)
    if config.classifier is not None and config.classifier.activation == "relu":
        types = params["embeddings"]["token_type_embeddings"]
        types["embedding"] = np.zeros_like(types["embedding"])
    return params


@pytest.fixture(params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the folder of a model with a head, and an ONNX file in a subfolder, as repositories on the hub have it."""
    config = CONFIGS[request.param]
    params, tokenizer = model_of(config), TextTokenizer(write_tokenizer(tmp_path))
    write_model_folder(tmp_path / "model", params, config, tokenizer, 14, SETTINGS)
    (tmp_path / "model" / "onnx").mkdir()
    onnx.save(to_onnx(params, config), tmp_path / "model" / "onnx" / "model.onnx")
    return tmp_path / "model"


def elsewhere(folder: Path) -> Path:
    graph = Path(shutil.copy(folder / "onnx" / "model.onnx", folder.parent / "alone.onnx"))
    return convert_to_folder(graph, folder.parent / "out", tokenizer=folder)[0]


def round_trip(folder: Path) -> Path:
    converted, _ = hub_to_folder(folder, folder.parent / "flax", format="msgpack")
    folder_to_onnx(converted, folder.parent / "back.onnx")
    return convert_to_folder(folder.parent / "back.onnx", folder.parent / "out", tokenizer=converted)[0]


ROUTES: dict[str, Callable[[Path], Path]] = {
    "ONNX": lambda folder: convert_to_folder(folder / "onnx" / "model.onnx", folder.parent / "out")[0],
    "ONNX elsewhere": elsewhere,
    "safetensors": lambda folder: hub_to_folder(folder, folder.parent / "out", format="safetensors")[0],
    "there and back": round_trip,
}


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_keeps_weights_and_settings(folder: Path, route: str) -> None:
    original, converted = mj.load_params(folder), ROUTES[route](folder)
    params = mj.load_params(converted)
    assert jax.tree.all(jax.tree.map(np.array_equal, params, original))
    assert params.config == original.config
    assert read_settings(converted) == SETTINGS
    model = (mj.CrossEncoder if params.config.classifier else mj.SparseEncoder)(converted)
    assert (model.config, model.prompts["query"]) == (original.config, "find: ")


def test_graph_in_a_model_folder_loads_with_the_settings_of_the_folder(folder: Path) -> None:
    params = mj.load_params(folder / "onnx" / "model.onnx")
    original = mj.load_params(folder)
    assert params.config == original.config
    np.testing.assert_allclose(results(params), results(original), rtol=0, atol=TOKEN_VECTORS)


def alone(config: mj.EncoderConfig, folder: Path) -> Path:
    """Write a graph with a tokenizer but without a config."""
    write_tokenizer(folder)
    onnx.save(to_onnx(model_of(config), config), folder / "model.onnx")
    return folder / "model.onnx"


def test_labels_have_numbers_if_no_folder_names_them(tmp_path: Path) -> None:
    converted, record = convert_to_folder(alone(NLI, tmp_path), tmp_path / "out")
    classifier = mj.load_config(converted).classifier
    assert classifier == mj.Classifier(("LABEL_0", "LABEL_1", "LABEL_2"))
    stated = "classifier, labels LABEL_0, LABEL_1, LABEL_2, scores identity"
    assert record["head"] == {"assumed": stated, "source": None}


def test_language_model_gets_the_usual_sparse_head_if_no_folder_states_one(tmp_path: Path) -> None:
    converted, record = convert_to_folder(alone(CONFIGS["splade-sum"], tmp_path), tmp_path / "out")
    assert mj.load_config(converted).sparse_head == mj.SparseHead()
    assert record["head"] == {"assumed": "language model, max pooling, relu", "source": None}


def test_other_number_of_labels_in_the_folder_is_an_error(tmp_path: Path) -> None:
    graph = alone(NLI, tmp_path)
    values: dict[str, Any] = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b"}}
    write_json(tmp_path / "config.json", PLAIN.to_dict() | values)
    with pytest.raises(mj.ModelFileError, match=r"config.json names 2 labels, but the graph has 3"):
        convert_to_folder(graph, tmp_path / "out")


def test_masked_language_model_that_states_no_sparse_pooling_converts_to_a_sentence_encoder(tmp_path: Path) -> None:
    config = CONFIGS["splade"]
    write_model_folder(
        tmp_path / "model", model_of(config), config, TextTokenizer(write_tokenizer(tmp_path)), 14, SETTINGS
    )
    (tmp_path / "model" / "modules.json").unlink()
    shutil.rmtree(tmp_path / "model" / "1_SpladePooling")
    converted, record = hub_to_folder(tmp_path / "model", tmp_path / "out", format="safetensors")
    config = mj.load_config(converted)
    assert [getattr(config, name) for name in HEAD_FIELDS] == [(), None, None]
    assert record["pooling"]["assumed"] == "mean"


def test_settings_in_the_folder_above_the_transformer_are_kept(tmp_path: Path) -> None:
    config, folder = CONFIGS["splade"], tmp_path / "model"
    write_model_folder(folder, model_of(config), config, TextTokenizer(write_tokenizer(tmp_path)), 14, SETTINGS)
    inner = folder / "0_MLMTransformer"
    inner.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json"):
        shutil.move(folder / name, inner / name)
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    write_json(folder / "modules.json", [modules[0] | {"path": inner.name}, *modules[1:]])
    converted, _ = hub_to_folder(folder, tmp_path / "out", format="safetensors")
    assert read_settings(converted) == SETTINGS
    assert mj.load_config(converted) == config
