"""Write the table in `docs/onnx-forms.md`: every form of ONNX file, its tool, and the result of converting it."""

from collections.abc import Mapping

from convert.onnx_to_flax import Conversion
from convert.verification.verify import Agreement
from tests.helpers.onnx_forms import ACCEPTED, REFUSED
from tests.helpers.paths import DOCS

PATH = DOCS / "onnx-forms.md"

_HEAD = """# Supported forms of ONNX files

This table is written by `make table`. Each row is a file that a real tool wrote for a tiny BERT, RoBERTa or DistilBERT
or, if the row says so, for the real model, or that was written by hand as a tool writes it; `tests/forms/README.md`
lists the tools and their versions. The columns:

- *difference*: the largest absolute difference between the outputs of the params and of the graph in float32, with
  all roundings of activations removed from the graph.
- *as stored*: for graphs that round activations, the smallest cosine between a token vector of the params and of the
  graph with its roundings. The params have no such roundings, and their results do not depend on the batch or on the
  processor, unlike those of dynamic int8 graphs.

| form | made by | opset | stored as | result | difference | as stored |
| --- | --- | --- | --- | --- | --- | --- |
"""


def converted(name: str, made_by: str, opset: int, conversion: Conversion) -> tuple[str, ...]:
    """Return the row of a form that converts."""
    stored = ", ".join(sorted({weight.stored for weight in conversion.layout.weights.values()}))
    outputs, as_stored = conversion.verification.outputs, conversion.verification.as_stored
    result = "; ".join(dict.fromkeys(str(agreement.meaning) for agreement in outputs.values()))
    difference = max(agreement.largest_difference for agreement in outputs.values())
    return name, made_by, str(opset), stored, result, f"{difference:.0e}", _smallest_cosine(as_stored)


def rejected(name: str, made_by: str, reason: str) -> tuple[str, ...]:
    """Return the row of a form that is rejected."""
    return name, made_by, "", "", f"rejected: {reason}", "", ""


def render(rows: list[tuple[str, ...]]) -> str:
    """Return the text of the page, with the rows in the order of the forms, whatever the order of the tests."""
    order = {name: index for index, name in enumerate((*ACCEPTED, *REFUSED))}
    rows = sorted(rows, key=lambda row: (order.get(row[0], len(order)), row[0]))
    return _HEAD + "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in rows)


def _smallest_cosine(agreements: Mapping[str, Agreement]) -> str:
    return f"{min(agreement.smallest_cosine for agreement in agreements.values()):.4f}" if agreements else ""
