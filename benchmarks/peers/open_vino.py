"""OpenVINO: float32, bfloat16 by its precision hint, int8 by NNCF's calibrated quantisation; both performance hints."""

import functools
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import THREADS, Hint, Precision, Vectors, prepared
from benchmarks.peers.bert_export import exported
from benchmarks.peers.loop import Loop, Padded, onnx_inputs, pool, tokenizer

_CALIBRATION_TEXTS = 300


def load(folder: Path, precision: Precision, hint: Hint) -> Loop:
    """Loads the engine from a model folder, for one call at a time or for many at once."""
    import openvino  # pyright: ignore[reportMissingImports] only in the peers' environment

    settings = {
        "PERFORMANCE_HINT": hint.upper(),
        "INFERENCE_NUM_THREADS": THREADS,
        # What int8 leaves in floating point was no slower in float32 than in bfloat16, the engine's own choice.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
    }
    compiled = openvino.Core().compile_model(prepare(folder, precision), "CPU", settings)
    return Loop(folder, (_one_by_one if hint == "latency" else _queued)(compiled))


def prepare(folder: Path, precision: Precision) -> Path:
    """Returns the model in OpenVINO's form, made at the first call."""
    if precision != "int8":
        return exported(folder)
    name = f"openvino-{version('openvino')}-nncf-{version('nncf')}"
    return prepared(name, functools.partial(_quantise, folder)) / "model.xml"


def _one_by_one(compiled: Any) -> Any:
    request = compiled.create_infer_request()

    def run(batches: Iterable[Padded]) -> Iterator[Vectors]:
        for batch in batches:
            hidden = request.infer(onnx_inputs(batch), share_inputs=True, share_outputs=True)[0]
            yield pool(hidden, batch.mask)

    return run


def _queued(compiled: Any) -> Any:
    import openvino  # pyright: ignore[reportMissingImports] only in the peers' environment

    queue = openvino.AsyncInferQueue(compiled)

    def run(batches: Iterable[Padded]) -> list[Vectors]:
        vectors: dict[int, Vectors] = {}

        def keep(request: Any, job: tuple[int, NDArray[np.int32]]) -> None:
            vectors[job[0]] = pool(request.get_output_tensor(0).data, job[1])

        queue.set_callback(keep)
        for index, batch in enumerate(batches):
            queue.start_async(onnx_inputs(batch), (index, batch.mask))  # Copied, as they are gone before it ends.
        queue.wait_all()
        return [vectors[index] for index in range(len(vectors))]

    return run


def _quantise(folder: Path, path: Path) -> None:
    import nncf  # pyright: ignore[reportMissingImports] only in the peers' environment
    import openvino  # pyright: ignore[reportMissingImports] only in the peers' environment

    from benchmarks.texts import calibration_texts

    cut = tokenizer(folder)
    ids = [np.array([cut.encode(text).ids], np.int32) for text in calibration_texts(_CALIBRATION_TEXTS)]
    inputs = [onnx_inputs(Padded(each, np.ones_like(each))) for each in ids]
    model = nncf.quantize(
        openvino.Core().read_model(exported(folder)),
        nncf.Dataset(inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(inputs),
    )
    path.mkdir()
    openvino.save_model(model, path / "model.xml", compress_to_fp16=False)
