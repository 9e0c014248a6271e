"""OpenVINO with both performance hints: float32, bfloat16 by its precision hint, int8 by NNCF with calibration."""
# pyright: reportMissingImports=false

import functools
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from benchmarks.peers import THREADS, Hint, Vectors, prepared
from benchmarks.peers.bert_export import exported
from benchmarks.peers.loop import Loop, PaddedBatch, onnx_inputs, pool, tokenizer
from minilm_jax.config import Precision

_CALIBRATION_TEXTS = 300


def load(folder: Path, precision: Precision, hint: Hint) -> Loop:
    """Load the engine from a model folder, for one batch at a time or for several concurrently."""
    settings = {
        "PERFORMANCE_HINT": hint.upper(),
        "INFERENCE_NUM_THREADS": THREADS,
        # For the floating-point parts of int8, float32 was as fast as the engine's default, bfloat16.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
    }
    compiled = openvino.Core().compile_model(_model_file(folder, precision), "CPU", settings)
    return Loop(folder, (_one_by_one if hint == "latency" else _queued)(compiled))


def _model_file(folder: Path, precision: Precision) -> Path:
    if precision != "int8":
        return exported(folder)
    name = f"openvino-{version('openvino')}-nncf-{version('nncf')}"
    return prepared(name, functools.partial(_quantize, folder)) / "model.xml"


def _one_by_one(compiled: Any) -> Any:
    request = compiled.create_infer_request()

    def run(batches: Iterable[PaddedBatch]) -> Iterator[Vectors]:
        for batch in batches:
            hidden = request.infer(onnx_inputs(batch), share_inputs=True, share_outputs=True)[0]
            yield pool(hidden, batch.mask)

    return run


def _queued(compiled: Any) -> Any:
    queue = openvino.AsyncInferQueue(compiled)

    def run(batches: Iterable[PaddedBatch]) -> list[Vectors]:
        vectors: dict[int, Vectors] = {}

        def keep(request: Any, job: tuple[int, NDArray[np.int32]]) -> None:
            vectors[job[0]] = pool(request.get_output_tensor(0).data, job[1])

        queue.set_callback(keep)
        for index, batch in enumerate(batches):
            # The inputs are copied, because they are freed before the request is done.
            queue.start_async(onnx_inputs(batch), (index, batch.mask))
        queue.wait_all()
        return [vectors[index] for index in range(len(vectors))]

    return run


def _quantize(folder: Path, path: Path) -> None:
    import nncf

    from benchmarks.texts import calibration_texts

    truncating = tokenizer(folder)
    ids = [np.array([truncating.encode(text).ids], np.int32) for text in calibration_texts(_CALIBRATION_TEXTS)]
    inputs = [onnx_inputs(PaddedBatch(each, np.ones_like(each))) for each in ids]
    model = nncf.quantize(
        openvino.Core().read_model(exported(folder)),
        nncf.Dataset(inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(inputs),
    )
    path.mkdir()
    openvino.save_model(model, path / "model.xml", compress_to_fp16=False)
