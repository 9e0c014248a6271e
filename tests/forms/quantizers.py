"""Quantize graphs with the tools of onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import rewrites
import tiny
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    HQQWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)

TYPES = {"QInt8": QuantType.QInt8, "QUInt8": QuantType.QUInt8, "QInt4": QuantType.QInt4, "QUInt4": QuantType.QUInt4}
FORMATS = {"QDQ": QuantFormat.QDQ, "QOperator": QuantFormat.QOperator}


def dynamic(model: onnx.ModelProto, weight_type: str = "QInt8", **options: Any) -> onnx.ModelProto:
    """Quantize with `quantize_dynamic`.

    Args:
        model: The graph.
        weight_type: A key of `TYPES`.
        options: Arguments of `quantize_dynamic`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "quantized.onnx"
        quantize_dynamic(rewrites.copied(model), path, weight_type=TYPES[weight_type], **options)
        return onnx.load(path)


def optimum_dynamic(model: onnx.ModelProto, target: str, **options: Any) -> onnx.ModelProto:
    """Quantize as `optimum-cli onnxruntime quantize` does.

    Args:
        model: The graph.
        target: "arm64", "avx2", "avx512" or "avx512_vnni".
        options: Arguments of its configuration.
    """
    from optimum.onnxruntime import AutoQuantizationConfig, ORTQuantizer

    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "model", Path(scratch) / "out"
        tiny.config("bert").save_pretrained(source)
        onnx.save(model, source / "model.onnx")
        chosen = getattr(AutoQuantizationConfig, target)(is_static=False, **options)
        ORTQuantizer.from_pretrained(source).quantize(save_dir=out, quantization_config=chosen, file_suffix="")
        return onnx.load(out / "model.onnx")


class Calibration(CalibrationDataReader):
    """A few random batches for calibration."""

    def __init__(self, inputs: list[str]) -> None:
        """Prepare batches with the given inputs."""
        self.batches = self.all(inputs)

    def all(self, inputs: list[str]) -> Iterator[dict[str, np.ndarray]]:
        """Yield all batches."""
        for tokens in (5, 7, 9, 12):
            feed = tiny.batch(tokens=tokens)
            yield {name: feed[name] for name in inputs}

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch, or None after the last."""
        return next(self.batches, None)


def static(
    model: onnx.ModelProto, activation: str, weight: str, *, form: str = "QDQ", **options: Any
) -> onnx.ModelProto:
    """Quantize with `quantize_static`.

    Args:
        model: The graph.
        activation: A key of `TYPES`.
        weight: A key of `TYPES`.
        form: "QDQ" or "QOperator".
        options: Arguments of `quantize_static`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "quantized.onnx"
        quantize_static(
            rewrites.copied(model),
            path,
            Calibration([value.name for value in model.graph.input]),
            quant_format=FORMATS[form],
            activation_type=TYPES[activation],
            weight_type=TYPES[weight],
            **options,
        )
        return onnx.load(path)


def nbits(model: onnx.ModelProto, *, form: str = "QOperator", **options: Any) -> onnx.ModelProto:
    """Quantize weights block by block with `MatMulNBitsQuantizer`.

    Args:
        model: The graph.
        form: "QDQ" or "QOperator".
        options: Arguments of `DefaultWeightOnlyQuantConfig`.
    """
    config = DefaultWeightOnlyQuantConfig(quant_format=FORMATS[form], **options)
    quantizer = MatMulNBitsQuantizer(rewrites.copied(model), algo_config=config)
    quantizer.process()
    return quantizer.model.model


def hqq(model: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
    """Quantize weights block by block with the HQQ algorithm of `MatMulNBitsQuantizer`."""
    quantizer = MatMulNBitsQuantizer(rewrites.copied(model), algo_config=HQQWeightOnlyQuantConfig(**options))
    quantizer.process()
    return quantizer.model.model


def bnb4(model: onnx.ModelProto, kind: str, block_size: int) -> onnx.ModelProto:
    """Quantize weights with `MatMulBnb4Quantizer`.

    Args:
        model: The graph.
        kind: "FP4" or "NF4".
        block_size: Weights per scale.
    """
    quantizer = MatMulBnb4Quantizer(rewrites.copied(model), getattr(MatMulBnb4Quantizer, kind), block_size)
    quantizer.process()
    return quantizer.model.model
