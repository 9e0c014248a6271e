"""Every supported architecture in the sizes of published models, compared with transformers on random weights.

`make test-models` runs them in a separate environment.
"""

import os
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import jax
import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import minilm_jax as mj
from convert.pipeline import convert_to_folder
from tests.environments.models.published import PUBLISHED, write_folder

# Two float32 runtimes differ by 3e-6 in 12 layers whose values are about 1.
LAYERS = 2e-5
VECTORS = 2e-6
TEXTS = ["the cat sleeps", "a dog", "", "über Katze 猫 <pad> [PAD] running cats " * 3, "ab cd " * 80]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference between vectors, relative to their lengths."""
    return float((np.abs(ours - theirs).max(axis=-1) / np.linalg.norm(theirs, axis=-1)).max())


def layer_difference(folder: Path, network: torch.nn.Module) -> float:
    """Return the largest difference of any hidden state at a real token."""
    encoder = mj.SentenceEncoder(folder)
    features = encoder.tokenize(TEXTS)
    inputs = {name: torch.tensor(features[name], dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        theirs = network(**inputs, output_hidden_states=True).hidden_states
    ours = jax.jit(mj.encode, static_argnames="output_hidden_states")(
        encoder.params, features, output_hidden_states=True
    ).hidden_states
    assert ours is not None
    assert len(ours) == len(theirs)
    real = features["attention_mask"] != 0
    return max(
        float(np.abs(np.asarray(own)[real] - other.numpy()[real]).max())
        for own, other in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_model_equals_transformers_in_every_layer(name: str, tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    published = PUBLISHED[name]
    network = write_folder(tmp_path / "model", published)
    layers = layer_difference(tmp_path / "model", network)
    encoder = mj.SentenceEncoder(tmp_path / "model")
    wanted = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(TEXTS)
    found = encoder.encode(TEXTS)
    vectors = relative(found, wanted)
    assert layers < LAYERS
    assert vectors < VECTORS
    config = encoder.config
    pooling = f"{config.pooling}{' + Dense' * bool(config.projections)}{', unit length' * config.normalize}"
    facts = name, published.config["model_type"], str(config.embedding_size), pooling, published.prompts
    table.append((*facts, "folder", "random", "transformers, sentence-transformers", f"{layers:.0e}", f"{vectors:.0e}"))
    encoder.save_pretrained(tmp_path / "saved")
    saved = SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TEXTS)
    assert relative(saved, wanted) < VECTORS
    if published.graph:
        graph = tmp_path / "model" / "onnx" / "model.onnx"
        export(network, graph)
        folder, _ = convert_to_folder(graph, tmp_path / "converted")
        difference = relative(mj.SentenceEncoder(folder).encode(TEXTS), wanted)
        assert difference < VECTORS
        table.append((*facts, "ONNX", "random", "sentence-transformers", "", f"{difference:.0e}"))
    shutil.rmtree(tmp_path)


class LastHiddenState(torch.nn.Module):
    """A model that takes ids and mask by position, and returns its last hidden state."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return [B, T, D]."""
        return self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def export(network: torch.nn.Module, path: Path) -> None:
    """Write an ONNX graph of a model, with dynamic shapes."""
    path.parent.mkdir()
    names = ["input_ids", "attention_mask"]
    example = tuple(torch.ones(2, 7, dtype=torch.int64) for _ in names)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=512)}
    torch.onnx.export(
        LastHiddenState(network),
        example,
        path,
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_shapes=(sizes, sizes),
        dynamo=True,
        verbose=False,
    )
