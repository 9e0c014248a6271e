"""Export the real BertModel in many ways and store each graph without its weights.

Run manually, once for each transformers release in ``SKELETONS``, in an environment with torch, transformers,
safetensors, onnx, onnxruntime and, for the ``dynamo`` exports, onnxscript (README.md lists the versions)::

    python tests/exports/make.py FOLDER_WITH_MODEL_SAFETENSORS_AND_CONFIG

Each run writes the skeletons of the installed transformers release and leaves the other files unchanged.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from hydrate import WEIGHTS_KEY, hydrate, named_tensors
from safetensors.numpy import load_file

HERE = Path(__file__).parent
USUAL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SMALLEST_WEIGHT = 64
LARGEST_LEFTOVER_BYTES = 10_000
TOLERANCE = 2e-5


@dataclass(frozen=True)
class Published:
    """A published file whose graph differs from our export only in generated names and in the producer.

    Attributes:
        shift: The number to add to those in names such as ``onnx::MatMul_975``.
        producer: The torch release that wrote it.
        sha256: SHA-256 of the published file.
    """

    shift: int
    producer: str
    sha256: str


@dataclass(frozen=True)
class Skeleton:
    """One way of exporting the model.

    Attributes:
        name: File name without its extension.
        transformers: The transformers release whose modeling code is exported.
        opset: The ONNX opset to request.
        attention: "eager" or "sdpa"; releases before 4.36 have eager only.
        pooler: Whether the graph contains BERT's pooler.
        sentence: Whether masked mean and L2 normalization are part of the graph.
        fold: Whether to fold constants, which makes the weights of linear layers anonymous and transposed.
        keep_inputs: Whether weights are also listed as graph inputs.
        inputs: Input names in the order of the graph.
        integer: Type of the inputs.
        dynamo: Whether to use the newer exporter of torch.
        published: The published file to reproduce, if any.
    """

    name: str
    transformers: str
    opset: int
    attention: str = "eager"
    pooler: bool = False
    sentence: bool = False
    fold: bool = True
    keep_inputs: bool = False
    inputs: tuple[str, ...] = USUAL_INPUTS
    integer: torch.dtype = torch.int64
    dynamo: bool = False
    published: Published | None = None

    @property
    def outputs(self) -> list[str]:
        """Name of the graph's outputs."""
        if self.sentence:
            return ["token_embeddings", "sentence_embedding"]
        return ["last_hidden_state", "pooler_output"] if self.pooler else ["last_hidden_state"]


OLD, MIDDLE, NEW = "4.28.1", "4.46.3", "5.23.0"
HUB = Published(2, "2.5.0", "6fd5d72fe4589f189f8ebc006442dbb529bb7ce38f8082112682524616046452")
REORDERED = ("attention_mask", "token_type_ids", "input_ids")
SKELETONS = (
    Skeleton("ts11-eager-pooler", OLD, 11, pooler=True),
    Skeleton("ts11-eager", OLD, 11),
    Skeleton("ts11-eager-keep-inputs", OLD, 11, keep_inputs=True),
    Skeleton("hub", MIDDLE, 14, attention="sdpa", published=HUB),
    Skeleton("ts14-sdpa", MIDDLE, 14, attention="sdpa"),
    Skeleton("ts14-eager-pooler-unfolded", MIDDLE, 14, pooler=True, fold=False),
    Skeleton("ts14-eager-no-token-types", MIDDLE, 14, inputs=USUAL_INPUTS[:2]),
    Skeleton("ts14-sdpa-reordered", MIDDLE, 14, attention="sdpa", inputs=REORDERED),
    Skeleton("ts14-sdpa-sentence", MIDDLE, 14, attention="sdpa", sentence=True),
    Skeleton("ts17-eager-int32", MIDDLE, 17, integer=torch.int32),
    Skeleton("ts17-sdpa-pooler", MIDDLE, 17, attention="sdpa", pooler=True),
    Skeleton("ts17-sdpa-unfolded", MIDDLE, 17, attention="sdpa", fold=False),
    Skeleton("ts17-sdpa-pooler-tf5", NEW, 17, attention="sdpa", pooler=True),
    Skeleton("dynamo18-sdpa-pooler", NEW, 18, attention="sdpa", pooler=True, dynamo=True),
    Skeleton("dynamo20-eager", NEW, 20, dynamo=True),
    Skeleton("dynamo23-sdpa", NEW, 23, attention="sdpa", dynamo=True),
)


class Exported(torch.nn.Module):
    """The encoder with the inputs and outputs of a skeleton."""

    def __init__(self, bert: torch.nn.Module, skeleton: Skeleton) -> None:
        """Wrap an encoder."""
        super().__init__()
        self.auto_model = bert
        self.skeleton = skeleton

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the encoder on inputs in the order of the skeleton and return its outputs."""
        named = dict(zip(self.skeleton.inputs, values, strict=True))
        output = self.auto_model(**named, return_dict=True)
        if self.skeleton.sentence:
            return output.last_hidden_state, sentence_embedding(output.last_hidden_state, named["attention_mask"])
        return tuple(output[name] for name in self.skeleton.outputs)


def sentence_embedding(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Pool token vectors as sentence-transformers does: masked mean, then unit length.

    Args:
        hidden: Float [B, T, D].
        mask: Integer [B, T].

    Returns:
        Float [B, D].
    """
    wide = mask.unsqueeze(-1).expand(hidden.size()).to(hidden.dtype)
    mean = torch.sum(hidden * wide, 1) / torch.clamp(wide.sum(1), min=1e-9)
    return torch.nn.functional.normalize(mean, p=2.0, dim=1)


def load_bert(folder: Path, skeleton: Skeleton) -> torch.nn.Module:
    """Load the encoder from a Hugging Face folder.

    Args:
        folder: A folder with config.json and model.safetensors.
        skeleton: The skeleton, for its pooler and attention.

    Returns:
        The model in evaluation mode.
    """
    chosen: dict[str, Any] = {} if skeleton.transformers == OLD else {"attn_implementation": skeleton.attention}
    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=skeleton.pooler, use_cache=False, **chosen)
    return model.eval().float()


def sample(skeleton: Skeleton) -> tuple[torch.Tensor, ...]:
    """Return a small padded batch in the input order of a skeleton.

    Args:
        skeleton: The skeleton, for the names, order and type of its inputs.

    Returns:
        One tensor [2, 7] per input.
    """
    ids = torch.tensor([[101, 7592, 2088, 102, 0, 0, 0], [101, 2023, 2003, 1037, 7099, 6251, 102]])
    every = {"input_ids": ids, "attention_mask": (ids != 0).long(), "token_type_ids": torch.zeros_like(ids)}
    return tuple(every[name].to(skeleton.integer) for name in skeleton.inputs)


def patched(bert: torch.nn.Module, skeleton: Skeleton) -> torch.nn.Module:
    """Give the module itself the signature of a skeleton, so that parameter names have no prefix.

    Args:
        bert: The encoder.
        skeleton: The skeleton, for its inputs and outputs.

    Returns:
        The module to trace.
    """
    if skeleton.sentence:
        return Exported(bert, skeleton)
    plain = bert.forward

    def forward(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = plain(**dict(zip(skeleton.inputs, values, strict=True)), return_dict=True)
        return tuple(output[name] for name in skeleton.outputs)

    bert.forward = forward
    return bert


def export_torchscript(bert: torch.nn.Module, skeleton: Skeleton) -> onnx.ModelProto:
    """Export with the tracing exporter of torch.

    Args:
        bert: The encoder.
        skeleton: The skeleton to export.

    Returns:
        The graph with all weights.
    """
    axes = {name: {0: "batch_size", 1: "sequence_length"} for name in (*skeleton.inputs, skeleton.outputs[0])}
    axes |= {name: {0: "batch_size"} for name in skeleton.outputs[1:]}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        torch.onnx.export(
            patched(bert, skeleton),
            sample(skeleton),
            path,
            input_names=list(skeleton.inputs),
            output_names=skeleton.outputs,
            dynamic_axes=axes,
            opset_version=skeleton.opset,
            do_constant_folding=skeleton.fold,
            keep_initializers_as_inputs=skeleton.keep_inputs,
            dynamo=False,
        )
        return onnx.load(path)


def export_dynamo(bert: torch.nn.Module, skeleton: Skeleton) -> onnx.ModelProto:
    """Export with the newer exporter of torch, which captures the graph.

    Args:
        bert: The encoder.
        skeleton: The skeleton to export; its inputs must be in the order of the model's signature.

    Returns:
        The graph with all weights.
    """
    batch, tokens = torch.export.Dim("batch_size"), torch.export.Dim("sequence_length", max=512)
    program = torch.onnx.export(
        bert,
        kwargs=dict(zip(skeleton.inputs, sample(skeleton), strict=True)),
        dynamic_shapes={name: {0: batch, 1: tokens} for name in skeleton.inputs},
        output_names=skeleton.outputs,
        opset_version=skeleton.opset,
        dynamo=True,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export(dynamo=True) returned None")
    return program.model_proto


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove doc strings and node metadata, which contain stack traces with paths of this machine.

    Args:
        model: The graph, changed in place.

    Returns:
        The same graph.
    """
    parts = [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer]
    for part in [*parts, *model.graph.input, *model.graph.output, *model.functions]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    return model


def renumbered(model: onnx.ModelProto, published: Published) -> onnx.ModelProto:
    """Change names and producer of an export to those of the published file with the same graph.

    Args:
        model: The graph, changed in place.
        published: The published file.

    Returns:
        The same graph.
    """

    def name(old: str) -> str:
        return re.sub(r"^(onnx::\w+_)(\d+)$", lambda found: f"{found[1]}{int(found[2]) + published.shift}", old)

    model.producer_version = published.producer
    for tensor in model.graph.initializer:
        tensor.name = name(tensor.name)
    for node in model.graph.node:
        node.input[:] = map(name, node.input)
        node.output[:] = map(name, node.output)
    return model


def fingerprints(weights: Mapping[str, np.ndarray]) -> dict[tuple[tuple[int, ...], bytes], tuple[str, bool]]:
    """Return an index of all weights, as stored and transposed, by shape and bytes.

    Args:
        weights: Arrays by state dict name.

    Returns:
        (shape, bytes) -> (name, transposed); not transposed if both match.
    """
    index: dict[tuple[tuple[int, ...], bytes], tuple[str, bool]] = {}
    for transposed in (False, True):
        for key, value in weights.items():
            array = np.ascontiguousarray(value.T if transposed else value)
            if array.size >= SMALLEST_WEIGHT and array.dtype == np.float32:
                index.setdefault((array.shape, array.tobytes()), (key, transposed))
    return index


def emptied(model: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Return a copy of a graph without the bytes of its weights, with a record of the missing weights.

    Args:
        model: The complete graph.
        weights: Arrays by state dict name.

    Returns:
        The skeleton.
    """
    skeleton, record, known = onnx.ModelProto(), {}, fingerprints(weights)
    skeleton.CopyFrom(model)
    for name, tensor in named_tensors(skeleton):
        array = onnx.numpy_helper.to_array(tensor)
        found = known.get((array.shape, array.tobytes()))
        if found is not None:
            record[name] = found
            tensor.ClearField("raw_data")
        elif array.nbytes > LARGEST_LEFTOVER_BYTES:
            raise ValueError(f"{name} {array.shape} is large but does not equal any weight")
    skeleton.metadata_props.add(key=WEIGHTS_KEY, value=json.dumps(record, separators=(",", ":")))
    return skeleton


def largest_difference(model: onnx.ModelProto, bert: torch.nn.Module, skeleton: Skeleton) -> float:
    """Return the largest difference between a graph in onnxruntime and torch in float64 on a padded batch.

    Args:
        model: The complete graph.
        bert: The encoder as loaded, converted to float64 in place: torch in float32 has errors of up to 4e-5 here
            (dimension 99 of padded positions, values near 5.7), too large for this comparison.
        skeleton: The skeleton, for its inputs and outputs.

    Returns:
        The largest absolute difference.
    """
    batch = sample(skeleton)
    session = onnxruntime.InferenceSession(model.SerializeToString(), quiet(), providers=["CPUExecutionProvider"])
    feed = {name: value.numpy() for name, value in zip(skeleton.inputs, batch, strict=True)}
    with torch.no_grad():
        expected = Exported(bert.double(), skeleton)(*batch)
    got = session.run(skeleton.outputs, feed)
    return max(float(np.abs(np.asarray(a) - b.numpy()).max()) for a, b in zip(got, expected, strict=True))


def quiet() -> onnxruntime.SessionOptions:
    """Return session options for one thread and for error messages only."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return options


def check_no_paths(path: Path) -> None:
    """Raise an error if a file contains a path of the machine that made it.

    Args:
        path: A skeleton file.

    Raises:
        ValueError: A path was found.
    """
    pattern = rb"/(?:tmp|root|home|work|usr|opt|Users)/[ -~]*|site-packages[ -~]*"
    found = re.search(pattern, gzip.decompress(path.read_bytes()))
    if found:
        raise ValueError(f"{path.name} contains the path {found.group()!r}")


def check(path: Path, original: onnx.ModelProto, folder: Path, skeleton: Skeleton) -> float:
    """Check that a skeleton restores the export, and that the export computes the model.

    Args:
        path: The skeleton file.
        original: The complete graph.
        folder: The model folder.
        skeleton: The skeleton.

    Returns:
        The largest absolute difference between onnxruntime in float32 and torch in float64.

    Raises:
        ValueError: The bytes or the outputs differ.
    """
    check_no_paths(path)
    filled = hydrate(path, load_file(folder / "model.safetensors"))
    if filled.SerializeToString(deterministic=True) != original.SerializeToString(deterministic=True):
        raise ValueError(f"{path.name} does not restore the exported bytes")
    digest = hashlib.sha256(filled.SerializeToString()).hexdigest()
    if skeleton.published is not None and digest != skeleton.published.sha256:
        raise ValueError(f"{path.name} is not the published file: sha256 {digest}")
    onnx.checker.check_model(filled)
    difference = largest_difference(filled, load_bert(folder, skeleton), skeleton)
    if difference > TOLERANCE:
        raise ValueError(f"{path.name}: onnxruntime and torch differ by {difference}")
    return difference


def write(skeleton: Skeleton, folder: Path) -> str:
    """Export, store and check one skeleton.

    Args:
        skeleton: The skeleton to export.
        folder: The model folder.

    Returns:
        A line of text about the file.
    """
    bert = load_bert(folder, skeleton)
    export = export_dynamo if skeleton.dynamo else export_torchscript
    original = without_traces(export(bert, skeleton))
    if skeleton.published is not None:
        original = renumbered(original, skeleton.published)
    path = HERE / f"{skeleton.name}.onnx.gz"
    stored = emptied(original, load_file(folder / "model.safetensors")).SerializeToString(deterministic=True)
    path.write_bytes(gzip.compress(stored, compresslevel=9, mtime=0))
    difference = check(path, original, folder, skeleton)
    size, nodes = path.stat().st_size, len(original.graph.node)
    return f"{path.name}: {size:,} bytes, {nodes} nodes, differs by {difference:.1e}\n"


def main() -> None:
    """Write the skeletons of the installed transformers release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Hugging Face folder with config.json and model.safetensors")
    parser.add_argument("--only", nargs="*", help="names of skeletons")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for skeleton in SKELETONS:
        if skeleton.transformers == transformers.__version__ and skeleton.name in (options.only or [skeleton.name]):
            sys.stdout.write(write(skeleton, options.folder))


if __name__ == "__main__":
    main()
