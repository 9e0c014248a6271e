"""The table in `docs/onnx-forms.md`: every form of ONNX file, what made it, and what came of it."""

from collections.abc import Mapping

from convert.onnx_to_flax import Conversion
from convert.verification.verify import Agreement
from tests.helpers.paths import DOCS

PATH = DOCS / "onnx-forms.md"

_HEAD = """# Forms of ONNX files, and what comes of them

Written by `make table`. Every row is a file that a real tool made of one tiny BERT (`tests/forms/README.md` has the
tools and their versions) or, where it says so, of the real weights. *Difference* is the largest from the graph's own
result in float32, with roundings of activations taken out of the graph; *as stored* is the smallest cosine of a token's
vector between the params and the graph with its own roundings: what they cost. The params are float32 and do not have
them, nor do they depend on the batch or on the processor, as dynamic int8 graphs do.

| form | made by | opset | stored as | result | difference | as stored |
| --- | --- | --- | --- | --- | --- | --- |
"""


def converted(name: str, made_by: str, opset: int, conversion: Conversion) -> tuple[str, ...]:
    """Return the row of a form that became params."""
    stored = ", ".join(sorted({weight.stored for weight in conversion.layout.weights.values()}))
    outputs, as_stored = conversion.verification.outputs, conversion.verification.as_stored
    result = "; ".join(dict.fromkeys(agreement.meaning for agreement in outputs.values()))
    difference = max(agreement.largest_difference for agreement in outputs.values())
    return name, made_by, str(opset), stored, result, f"{difference:.0e}", _smallest_cosine(as_stored)


def refused(name: str, made_by: str, reason: str) -> tuple[str, ...]:
    """Return the row of a form that is no BERT."""
    return name, made_by, "", "", f"refused: {reason}", "", ""


def render(rows: list[tuple[str, ...]]) -> str:
    """Return the whole page."""
    return _HEAD + "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in rows)


def _smallest_cosine(agreements: Mapping[str, Agreement]) -> str:
    return f"{min(agreement.smallest_cosine for agreement in agreements.values()):.4f}" if agreements else ""
