"""One tiny BERT in every form of ONNX file: each converts to the same tree, and other models are rejected.

The files were written by real tools, see `tests/forms/README.md`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import minilm_jax as mj
from convert.onnx_to_flax import Conversion, convert
from convert.reading.onnx_file import read_onnx
from minilm_jax.checkpoints.hub_names import from_hub
from minilm_jax.nn.params import flatten
from tests.helpers import conversion_table
from tests.helpers.dequantized import QuantizedFile
from tests.helpers.onnx_forms import ACCEPTED, REFUSED, STORED, unpacked
from tests.helpers.paths import FORMS
from tests.helpers.tolerances import FLOAT_ZERO_POINT, FOLDED_SCALE_RTOL

pytestmark = pytest.mark.usefixtures("graphs_run_here")

POSITIONS = "embeddings.position_embeddings.embedding"
RELATIVE = "the table .*distance_embedding.* is not part of BERT; does the model use relative positions"
REASONS = {
    "mpnet": "this is a model with relative positions, such as MPNet or T5.*relative_attention_bias",
    "prenorm": "query: the dense layer .* does not take the output of the previous LayerNorm",
    "albert": "this is ALBERT.*query: the dense layer .* does not take the output of the previous LayerNorm",
    "electra": "this is ELECTRA.*query: the dense layer .* does not take the output of the previous LayerNorm",
    "gpt2": "query: 0 dense layers compute this input of attention",
    "deberta": "query: 0 dense layers compute this input of attention",
    "t5-encoder": "MPNet or T5.*the graph has no LayerNorm with a scale and a bias",
    "modernbert": "this is ModernBERT.*the graph has no LayerNorm with a scale and a bias",
    "vit": "no embedding table is indexed by the inputs 'pixel_values'",
    "convolution": "no embedding table is indexed by the inputs 'pixel_values'",
    "bert-relu": "the activation is Relu",
    "bert-silu": "the activation is Sigmoid",
    "bert-tokens": r"its head is a classifier of tokens with 2 labels, which is not supported \(.* \[32, 2\]\)",
    "bert-answers": "its head is one for question answering, with the logits of start and end, which is not supported",
    "bert-no-pooler": "its head is a classifier without a pooler, or a projection, which is not supported",
    "bert-own-table": "is not a copy of the word embeddings 'bert.embeddings.word_embeddings.weight'",
    "electra-classifier": "its head is the classifier of ELECTRA or another one whose activation is neither",
    "bert-relative": RELATIVE,
    "bert-relative-query": RELATIVE,
    "bert-decoder": "output 'last_hidden_state' of the converted encoder differs from the graph's",
    "bert-no-residual": "encoder.layer.0.output: the layer's input is not added before the LayerNorm",
}
# Models of other kinds that BERT params represent exactly, and the change that makes them BERT.
EQUIVALENT_TO_BERT = {
    "roberta": "32 positions, of which the first is 1",
    "distilbert": "not in the graph (all zeros)",
    "bert-other-scale": "multiplied by 0.353553, so that the scale is 1/√8",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_form_converts_to_the_same_tree(name: str, tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    form = ACCEPTED[name]
    path = unpacked(name, form["file"], tmp_path)
    conversion = convert(read_onnx(path).model)
    assert conversion.verification.outputs.keys() == form["outputs"].keys()
    check_leaves(conversion, form, QuantizedFile(path))
    pooling = {"pooling": conversion.config.pooling, "normalize": conversion.config.normalize}
    assert form["expected"] == (pooling if conversion.pools else None)
    table.append(conversion_table.converted(name, form["producer"], form["opset"], conversion))


def check_leaves(conversion: Conversion, form: Mapping[str, Any], file: QuantizedFile) -> None:
    wanted = from_hub(load_file(FORMS / form["weights"]), conversion.config)
    found = flatten(conversion.params)
    assert found.keys() ^ wanted.keys() <= {"pooler.dense.kernel", "pooler.dense.bias"}
    stored, atol = set(), FLOAT_ZERO_POINT if "HQQ" in form["producer"] else 0
    for path, weight in conversion.layout.weights.items():
        stored.add(weight.stored)
        if weight.stored in STORED:
            truth = wanted[path].astype(STORED[weight.stored]).astype(np.float32)
        else:
            truth = file.weight(weight)
        if path == POSITIONS:  # A graph for a fixed length has only the positions of that length.
            truth = truth[: len(found[path])]
        np.testing.assert_allclose(
            found[path], truth, rtol=FOLDED_SCALE_RTOL if weight.factor != 1 else 0, atol=atol, err_msg=path
        )
    assert (stored <= STORED.keys()) == (form["kind"] in STORED)


@pytest.mark.parametrize("name", REASONS)
def test_other_model_is_rejected_with_the_first_mismatch(
    name: str, tmp_path: Path, table: list[tuple[str, ...]]
) -> None:
    path = unpacked(name, REFUSED[name]["file"], tmp_path)
    with pytest.raises(mj.ConversionError, match=REASONS[name]) as refusal:
        convert(read_onnx(path).model)
    table.append(conversion_table.rejected(name, REFUSED[name]["special"], str(refusal.value)))


def test_every_other_model_has_an_expected_result() -> None:
    assert REFUSED.keys() == REASONS.keys() | EQUIVALENT_TO_BERT.keys()


@pytest.mark.parametrize("name", EQUIVALENT_TO_BERT)
def test_model_equivalent_to_bert_converts(name: str, tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    file = read_onnx(unpacked(name, REFUSED[name]["file"], tmp_path))
    conversion = convert(file.model)
    undone = {operation for weight in conversion.layout.weights.values() for operation in weight.undone}
    sources = {weight.source for weight in conversion.layout.weights.values()}
    config = conversion.config
    positions = f"{config.max_position_embeddings} positions, of which the first is {(config.padding_idx or 0) + 1}"
    assert EQUIVALENT_TO_BERT[name] in undone | sources | {positions}
    table.append(conversion_table.converted(name, REFUSED[name]["special"], file.opset, conversion))


def test_table_in_the_docs_lists_every_form() -> None:
    text = conversion_table.PATH.read_text("utf-8")
    assert [name for name in (*ACCEPTED, *REFUSED) if f"\n| {name} | " not in text] == []
