"""onnxruntime: float32 after its optimiser for BERT; int8 by dynamic quantisation, of that or of the graph before."""

import functools
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.peers import THREADS, Precision, Vectors, prepared
from benchmarks.peers.bert_export import OUTPUT, exported
from benchmarks.peers.loop import Loop, Padded, onnx_inputs, pool


def load(folder: Path, precision: Precision, fused: bool = True) -> Loop:
    """Loads the engine from a model folder; int8 is faster for one text when fused, and for many when not."""
    import onnxruntime  # pyright: ignore[reportMissingImports] only in the peers' environment

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    path = onnx_file(folder, precision, fused)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def vectors(batch: Padded) -> Vectors:
        return pool(np.asarray(session.run([OUTPUT], onnx_inputs(batch))[0]), batch.mask)

    def run(batches: Iterable[Padded]) -> Iterator[Vectors]:
        return map(vectors, batches)

    return Loop(folder, run)


def prepare(folder: Path, precision: Precision) -> None:
    """Makes the ONNX files."""
    for fused in (True, False):
        onnx_file(folder, precision, fused)


def onnx_file(folder: Path, precision: Precision, fused: bool) -> Path:
    """Returns an ONNX file, made at the first call."""
    name = f"onnxruntime-{version('onnxruntime')}"
    plain = exported(folder)
    path = prepared(f"{name}-fused.onnx", functools.partial(_fuse, folder, plain)) if fused else plain
    if precision == "float32":
        return path
    return prepared(f"{name}-int8{'-fused' if fused else ''}.onnx", functools.partial(_quantise, path))


def _fuse(folder: Path, plain: Path, path: Path) -> None:
    from onnxruntime.transformers.optimizer import optimize_model  # pyright: ignore[reportMissingImports] only there

    config = json.loads((folder / "config.json").read_text("utf-8"))
    heads, width = config["num_attention_heads"], config["hidden_size"]
    model = optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=width, opt_level=0)
    if model.get_fused_operator_statistics()["Attention"] != config["num_hidden_layers"]:
        raise RuntimeError("onnxruntime's optimiser did not recognise the attention of each layer.")
    model.save_model_to_file(str(path))


def _quantise(whole: Path, path: Path) -> None:
    import onnx
    from onnxruntime.quantization import quantize_dynamic  # pyright: ignore[reportMissingImports] only there

    quantize_dynamic(
        whole,
        path,
        op_types_to_quantize=["MatMul", "Attention"],
        per_channel=True,  # As fast as the default, whose mean cosine with float32 is 0.95 instead of 0.99.
        # The fused operators are unknown to shape inference, which would else tell the type.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
