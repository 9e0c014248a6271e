"""onnxruntime: float32 after its optimizer for BERT; int8 by dynamic quantization, with or without that."""
# pyright: reportMissingImports=false

import functools
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.peers import THREADS, Vectors, prepared
from benchmarks.peers.bert_export import OUTPUT, exported
from benchmarks.peers.loop import Loop, PaddedBatch, onnx_inputs, pool
from minilm_jax.config import Precision


def load(folder: Path, precision: Precision, fused: bool = True) -> Loop:
    """Load the engine from a model folder; fused int8 is faster for one text, the other for many."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    path = onnx_file(folder, precision, fused)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def vectors(batch: PaddedBatch) -> Vectors:
        return pool(np.asarray(session.run([OUTPUT], onnx_inputs(batch))[0]), batch.mask)

    def run(batches: Iterable[PaddedBatch]) -> Iterator[Vectors]:
        return map(vectors, batches)

    return Loop(folder, run)


def onnx_file(folder: Path, precision: Precision, fused: bool) -> Path:
    """Return an ONNX file of the model, created at the first call."""
    name = f"onnxruntime-{version('onnxruntime')}"
    plain = exported(folder)
    path = prepared(f"{name}-fused.onnx", functools.partial(_fuse, folder, plain)) if fused else plain
    if precision == "float32":
        return path
    return prepared(f"{name}-int8{'-fused' if fused else ''}.onnx", functools.partial(_quantize, path))


def _fuse(folder: Path, plain: Path, path: Path) -> None:
    from onnxruntime.transformers.optimizer import optimize_model

    config = json.loads((folder / "config.json").read_text("utf-8"))
    heads, width = config["num_attention_heads"], config["hidden_size"]
    model = optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=width, opt_level=0)
    if model.get_fused_operator_statistics()["Attention"] != config["num_hidden_layers"]:
        raise RuntimeError("onnxruntime's optimizer did not recognize the attention of every layer.")
    model.save_model_to_file(str(path))


def _quantize(whole: Path, path: Path) -> None:
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(
        whole,
        path,
        op_types_to_quantize=["MatMul", "Attention"],
        # One scale per channel is as fast as the default, and has a mean cosine of 0.99 with float32 instead of 0.95.
        per_channel=True,
        # Shape inference does not know the fused operators, so the type must be given.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
