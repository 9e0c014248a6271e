"""One tiny BERT in every form of ONNX file: each gives the same tree, proved, and what is no BERT is refused.

The forms are real tools' output, see `tests/forms/README.md`.
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

# Where a tool has folded arithmetic into weights, undoing it rounds once.
FOLDED = 1e-6
# onnxruntime multiplies before it subtracts where a zero point is no integer.
FLOAT_ZERO_POINT = 2e-7
POSITIONS = "embeddings.position_embeddings.embedding"
REASONS = {
    "roberta": r"\(CumSum\) counts positions from the padding id on",
    "mpnet": r"\(CumSum\) counts positions from the padding id on",
    "prenorm": r"\(CumSum\) counts positions from the padding id on",
    "albert": "query: the dense layer .* does not take the output of the LayerNorm before",
    "electra": "query: the dense layer .* does not take the output of the LayerNorm before",
    "gpt2": "query: 0 dense layers make what attention takes",
    "deberta": "query: 0 dense layers make what attention takes",
    "t5-encoder": "there is no LayerNorm with a scale and a bias",
    "modernbert": "there is no LayerNorm with a scale and a bias",
    "vit": "no rows of a table are looked up by what the graph takes, 'pixel_values'",
    "convolution": "no rows of a table are looked up by what the graph takes, 'pixel_values'",
    "bert-relu": "the activation is Relu",
    "bert-silu": "the activation is Sigmoid",
    "bert-classifier": r"the dense layer 'classifier.weight' \[32, 2\] has no place in BERT",
    "bert-masked-lm": "the dense layer .* has no place in BERT",
    "bert-relative": "the table .*distance_embedding.* has no place in BERT; are the positions relative",
    "bert-relative-query": "the table .*distance_embedding.* has no place in BERT; are the positions relative",
    "bert-decoder": "output 'last_hidden_state' of the converted encoder differs from the graph's",
    "bert-no-residual": "encoder.layer.0.output: the layer's input is not added before the LayerNorm",
}
# Other models on paper that a BERT tree computes exactly, and what of them had to be undone or filled in.
BERT_AFTER_ALL = {
    "distilbert": "none in the graph, so zeros",
    "bert-other-scale": "multiplied by 0.353553, so that the scale is 1/√8",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_form_gives_the_tree(name: str, tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    form = ACCEPTED[name]
    path = unpacked(name, form["file"], tmp_path)
    conversion = convert(read_onnx(path).model)
    assert conversion.verification.outputs.keys() == form["outputs"].keys()
    check_leaves(conversion, form, QuantizedFile(path))
    pooling = {"pooling": conversion.config.pooling, "normalize": conversion.config.normalize}
    assert form["expected"] == (pooling if conversion.pools else None)
    table.append(conversion_table.converted(name, form["producer"], form["opset"], conversion))


def check_leaves(conversion: Conversion, form: Mapping[str, Any], file: QuantizedFile) -> None:
    wanted = flatten(from_hub(load_file(FORMS / form["weights"])))
    found = flatten(conversion.params)
    assert found.keys() ^ wanted.keys() <= {"pooler.dense.kernel", "pooler.dense.bias"}
    stored, atol = set(), FLOAT_ZERO_POINT if "HQQ" in form["producer"] else 0
    for path, weight in conversion.layout.weights.items():
        stored.add(weight.stored)
        if weight.stored in STORED:
            truth = wanted[path].astype(STORED[weight.stored]).astype(np.float32)
        else:
            truth = file.weight(weight)
        if path == POSITIONS:  # A graph for one length keeps the positions of that length only.
            truth = truth[: len(found[path])]
        np.testing.assert_allclose(
            found[path], truth, rtol=FOLDED if weight.factor != 1 else 0, atol=atol, err_msg=path
        )
    assert (stored <= STORED.keys()) == (form["kind"] in STORED)


@pytest.mark.parametrize("name", REASONS)
def test_what_is_no_bert_is_refused_by_the_first_thing_that_does_not_fit(
    name: str, tmp_path: Path, table: list[tuple[str, ...]]
) -> None:
    path = unpacked(name, REFUSED[name]["file"], tmp_path)
    with pytest.raises(mj.ConversionError, match=REASONS[name]) as refusal:
        convert(read_onnx(path).model)
    table.append(conversion_table.refused(name, REFUSED[name]["special"], str(refusal.value)))


def test_every_other_model_has_its_reason() -> None:
    assert REFUSED.keys() == REASONS.keys() | BERT_AFTER_ALL.keys()


@pytest.mark.parametrize("name", BERT_AFTER_ALL)
def test_what_bert_can_compute_is_taken(name: str, tmp_path: Path, table: list[tuple[str, ...]]) -> None:
    file = read_onnx(unpacked(name, REFUSED[name]["file"], tmp_path))
    conversion = convert(file.model)
    undone = {operation for weight in conversion.layout.weights.values() for operation in weight.undone}
    sources = {weight.source for weight in conversion.layout.weights.values()}
    assert BERT_AFTER_ALL[name] in undone | sources
    table.append(conversion_table.converted(name, REFUSED[name]["special"], file.opset, conversion))


def test_the_table_has_every_form() -> None:
    text = conversion_table.PATH.read_text("utf-8")
    assert [name for name in (*ACCEPTED, *REFUSED) if f"\n| {name} | " not in text] == []
