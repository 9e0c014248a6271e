"""Verify a conversion: compare the outputs of the ONNX graph and of the converted encoder."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray

from convert.recognition.bert_layout import BertLayout
from convert.verification.exact_form import exact_form, narrowest_float
from convert.verification.graph_process import run_graph
from convert.verification.inputs import graph_inputs, random_batch
from convert.verification.outputs import Agreement, Encoded, Meaning, OtherOutput, Pooled
from minilm_jax.errors import ConversionError
from minilm_jax.nn.params import Params

__all__ = ["TOLERANCES", "Agreement", "Meaning", "OtherOutput", "Pooled", "Verification", "compare", "verify"]

# Two float32 runtimes differ by 2e-6 on this model, wrong weights by 1e-1 and more. In half precision the constants of
# the graph, such as √2 in GELU, have a relative error of 2^-11 (float16) or 2^-8 (bfloat16).
TOLERANCES = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 2e-2}

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Verification:
    """The result of a successful verification.

    Attributes:
        outputs: The agreement of each graph output that the encoder computes.
        others: The other outputs.
        tolerance: The largest difference that is accepted, for logits as a part of the largest one.
        as_stored: The same agreements for a graph that rounds activations, with its roundings; empty if it does not
            round or cannot run on this machine.
        runtime: The runtime that ran the graph.
    """

    outputs: Mapping[str, Agreement]
    others: Mapping[str, OtherOutput]
    tolerance: float
    as_stored: Mapping[str, Agreement]
    runtime: str


def verify(model: onnx.ModelProto, layout: BertLayout, params: Params, *, runtime: str) -> Verification:
    """Compare the outputs of the graph and of the encoder on a batch of random ids with several lengths.

    Args:
        model: The ONNX model.
        layout: The encoder recognized in it.
        params: The converted parameters.
        runtime: The runtime for the graph, see `convert.verification.graph_process`.

    Returns:
        The agreement of the outputs.

    Raises:
        ConversionError: The graph does not run, its outputs differ from those of the encoder, or the encoder computes
            none of them.
    """
    compared = _Comparison(params, model, layout)
    exact, tolerance = exact_form(model), TOLERANCES[narrowest_float(model)]
    outputs, others = compared.identified(compared.results(exact, runtime), tolerance)
    if not outputs:
        reasons = "; ".join(f"{name!r} {text}" for name, text in others.items())
        raise ConversionError(
            f"none of the outputs is an output of BERT, so the conversion cannot be verified ({reasons})."
        )
    meanings: dict[str, Meaning] = {name: agreement.meaning for name, agreement in outputs.items()}
    as_stored = {} if exact is model else compared.with_own_table().if_runnable(model, runtime, meanings)
    return Verification(outputs, others, tolerance, as_stored, runtime)


def compare(
    model: onnx.ModelProto, layout: BertLayout, params: Params, *, runtime: str, meanings: Mapping[str, Meaning]
) -> dict[str, Agreement]:
    """Compare outputs of a graph, including its roundings, with those of params that match its layout.

    Args:
        model: The ONNX model.
        layout: The encoder recognized in it.
        params: Parameters that match the layout.
        runtime: The runtime for the graph.
        meanings: The tensor of the encoder that each output equals.

    Returns:
        The agreement of each of these outputs.
    """
    compared = _Comparison(params, model, layout).with_own_table()
    return compared.agreements(compared.results(model, runtime), meanings)


class _Comparison:
    """The encoder and a graph on the same batch."""

    def __init__(self, params: Params, model: onnx.ModelProto, layout: BertLayout) -> None:
        self.params, self.model, self.layout = params, model, layout
        self.batch = random_batch(model, layout)

    @functools.cached_property
    def encoded(self) -> Encoded:
        return Encoded(self.params, self.batch, self.layout)

    def with_own_table(self) -> "_Comparison":
        """Compute the logits of a language model by the word embeddings, from which the graph's kernel may differ."""
        if self.layout.decoder is None:
            return self
        return _Comparison(self.params, self.model, dataclasses.replace(self.layout, decoder=None))

    def results(self, model: onnx.ModelProto, runtime: str) -> dict[str, Array]:
        self.inputs = graph_inputs(model, self.batch, self.layout)
        results = run_graph(model, self.inputs, runtime=runtime)
        return dict(zip(self.layout.outputs, results, strict=True))

    def identified(
        self, results: Mapping[str, Array], tolerance: float
    ) -> tuple[dict[str, Agreement], dict[str, OtherOutput]]:
        outputs, others = {}, {}
        for name, result in results.items():
            meaning = self.layout.outputs[name]
            found = self.encoded.nearest(result) if meaning is None else self.encoded.agreement(result, meaning)
            allowed = tolerance * self.encoded.scale(meaning)
            if found is not None and found.largest_difference <= allowed:
                outputs[name] = found
            elif meaning is not None:
                raise _differs(name, found, allowed)
            else:
                others[name] = self._described(result, found, tolerance)
        return outputs, others

    def _described(self, result: Array, nearest: Agreement | None, tolerance: float) -> OtherOutput:
        text = self.encoded.description(result, self.inputs, tolerance)
        if nearest is not None and "unknown" in text:
            text += f"; the nearest is {nearest.meaning}, which differs by {nearest.largest_difference:.1e}"
        return OtherOutput(self.encoded.shape_of(result), text)

    def agreements(self, results: Mapping[str, Array], meanings: Mapping[str, Meaning]) -> dict[str, Agreement]:
        found = {name: self.encoded.agreement(results[name], meaning) for name, meaning in meanings.items()}
        return {name: agreement for name, agreement in found.items() if agreement is not None}

    def if_runnable(
        self, model: onnx.ModelProto, runtime: str, meanings: Mapping[str, Meaning]
    ) -> dict[str, Agreement]:
        # onnxruntime lacks CPU kernels for many float16 operators and for all bfloat16 operators.
        try:
            return self.agreements(self.results(model, runtime), meanings)
        except ConversionError:
            return {}


def _differs(name: str, found: Agreement | None, tolerance: float) -> ConversionError:
    if found is None:
        return ConversionError(f"output {name!r} of the converted encoder has another shape than the graph's.")
    return ConversionError(
        f"output {name!r} of the converted encoder differs from the graph's by {found.largest_difference:.1e} (allowed:"
        f" {tolerance:.0e}); nothing was written. The file computes something that BERT does not."
    )
