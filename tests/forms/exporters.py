"""Export float graphs with both exporters of torch and with optimum."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import tiny
import torch

TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True)
class Export:
    """One way of exporting an encoder.

    Attributes:
        opset: The ONNX opset to request.
        attention: "eager" or "sdpa".
        dynamo: Whether to use the newer exporter of torch.
        pooler: Whether the graph contains BERT's pooler.
        inputs: Input names in the order of the graph.
        integer: Type of the inputs.
        pooling: "mean" or "cls" if the graph pools, else None.
        normalize: Whether the graph scales sentence vectors to unit length.
        tokens: Whether a graph that pools also returns token embeddings.
        axes: Dynamic axes: "both", "batch" or "none".
        fold: Whether to fold constants, which makes the weights of linear layers anonymous and transposed.
        keep_inputs: Whether weights are also listed as graph inputs.
        dtype: Type of the weights.
        model: The name of the model, a key of `tiny.SIZES`.
    """

    opset: int
    attention: str = "eager"
    dynamo: bool = False
    pooler: bool = False
    inputs: tuple[str, ...] = tiny.USUAL_INPUTS
    integer: str = "int64"
    pooling: str | None = None
    normalize: bool = False
    tokens: bool = True
    axes: str = "both"
    fold: bool = True
    keep_inputs: bool = False
    dtype: str = "float32"
    model: str = "bert"

    @property
    def outputs(self) -> list[str]:
        """Name of the graph's outputs."""
        if tiny.has_head(self.model):
            return ["logits"]
        if self.pooling:
            return ["token_embeddings", "sentence_embedding"] if self.tokens else ["sentence_embedding"]
        return ["last_hidden_state", "pooler_output"] if self.pooler else ["last_hidden_state"]


class Encoder(torch.nn.Module):
    """An encoder with the inputs and outputs of an export."""

    def __init__(self, export: Export) -> None:
        """Build the encoder."""
        super().__init__()
        self.auto_model = tiny.bert(export.model, attention=export.attention, pooler=export.pooler)
        self.auto_model.to(TYPES[export.dtype])
        self.export = export

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Run the encoder on the given inputs and return the outputs of the export."""
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
        }
        return self.outputs(self.auto_model, {key: value for key, value in given.items() if value is not None})

    def outputs(self, run: Any, named: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Run an encoder and return the outputs of the export."""
        export = self.export
        output = run(**named, return_dict=True)
        if export.pooling is None:
            return tuple(output[name] for name in export.outputs)
        hidden = output.last_hidden_state
        vector = tiny.embed(hidden, named["attention_mask"], export.pooling, normalize=export.normalize)
        return (hidden, vector) if export.tokens else (vector,)


def sample(export: Export) -> dict[str, torch.Tensor]:
    """Return example inputs in the order of the export."""
    every = tiny.batch(export.model, 7 if export.axes == "both" else 12)
    return {name: torch.from_numpy(every[name]).to(getattr(torch, export.integer)) for name in export.inputs}


def run(export: Export) -> onnx.ModelProto:
    """Export an encoder.

    Args:
        export: The way to export it.

    Returns:
        The graph with all weights.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dynamo(export) if export.dynamo else torchscript(export)


def torchscript(export: Export) -> onnx.ModelProto:
    """Export with the tracing exporter of torch."""
    encoder = Encoder(export)
    module: torch.nn.Module = encoder if export.pooling else encoder.auto_model
    plain = encoder.auto_model.forward

    def forward(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return encoder.outputs(plain, dict(zip(export.inputs, values, strict=True)))

    module.forward = forward  # Parameter names have no prefix if the encoder itself is the module.
    return traced(module, tuple(sample(export).values()), export)


def traced(module: torch.nn.Module, values: tuple[torch.Tensor, ...], export: Export) -> onnx.ModelProto:
    """Return the graph of any module, by tracing."""
    dynamic = {"both": {0: "batch_size", 1: "sequence_length"}, "batch": {0: "batch_size"}, "none": {}}[export.axes]
    first = {0: "batch_size"} if dynamic else {}
    flat = ("pooler_output", "sentence_embedding", *([] if "masked-lm" in export.model else ["logits"]))
    axes = {name: first if name in flat else dynamic for name in (*export.inputs, *export.outputs)}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        torch.onnx.export(
            module,
            values,
            path,
            input_names=list(export.inputs),
            output_names=export.outputs,
            dynamic_axes=axes if dynamic else None,
            opset_version=export.opset,
            do_constant_folding=export.fold,
            keep_initializers_as_inputs=export.keep_inputs,
            dynamo=False,
        )
        return onnx.load(path)


def dynamo(export: Export) -> onnx.ModelProto:
    """Export with the newer exporter of torch, which captures the graph."""
    encoder = Encoder(export)
    rows, tokens = torch.export.Dim("batch_size"), torch.export.Dim("sequence_length", max=24)
    shape = {"both": {0: rows, 1: tokens}, "batch": {0: rows}, "none": {}}[export.axes]
    plain = not export.pooling and not export.pooler
    program = torch.onnx.export(
        encoder.auto_model if plain else encoder,
        kwargs=sample(export),
        dynamic_shapes={name: shape for name in export.inputs} if shape else None,
        output_names=export.outputs,
        opset_version=export.opset,
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export(dynamo=True) returned None")
    return program.model_proto


def optimum(opset: int, module: torch.nn.Module | None = None, **options: Any) -> onnx.ModelProto:
    """Export a saved model folder with optimum's `main_export`.

    Args:
        opset: The ONNX opset to request; at least 14, since optimum uses SDPA.
        module: A transformers model; default: the usual encoder.
        options: Arguments of `main_export`.

    Returns:
        The graph with all weights.
    """
    from optimum.exporters.onnx import main_export

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source, out = Path(scratch) / "model", Path(scratch) / "out"
        (module or tiny.bert()).save_pretrained(source)
        main_export(str(source), str(out), task="feature-extraction", opset=opset, do_validation=False, **options)
        return onnx.load(out / "model.onnx")


def optimum_sentence(opset: int, pooling: str, *, normalize: bool) -> onnx.ModelProto:
    """Export a sentence-transformers folder with optimum, pooling included.

    Args:
        opset: The ONNX opset to request.
        pooling: "mean" or "cls".
        normalize: Whether to scale vectors to unit length.
    """
    from optimum.exporters.onnx import main_export

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source, out = Path(scratch) / "model", Path(scratch) / "out"
        save_sentence_model(source, pooling, normalize=normalize)
        chosen = {"task": "sentence-similarity", "library_name": "sentence_transformers"}
        main_export(str(source), str(out), opset=opset, do_validation=False, **chosen)
        return onnx.load(out / "model.onnx")


def save_sentence_model(folder: Path, pooling: str, *, normalize: bool) -> None:
    """Write the encoder as a sentence-transformers folder; its tokenizer has one token per number."""
    from sentence_transformers import SentenceTransformer, models
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"[PAD]": 0, "[UNK]": 1} | {str(number): number for number in range(2, tiny.BERT["vocab_size"])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    inner = folder.with_name("inner")
    tiny.bert().save_pretrained(inner)
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(inner)
    modules = [models.Transformer(str(inner)), models.Pooling(tiny.BERT["hidden_size"], pooling)]
    SentenceTransformer(modules=[*modules, *([models.Normalize()] if normalize else [])]).save(str(folder))
