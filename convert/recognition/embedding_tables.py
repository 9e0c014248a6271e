"""Find the word, position and token type tables: their rows are summed before the first LayerNorm."""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from convert.graph.constant import Constant, is_float
from convert.graph.folding import looked_up
from convert.graph.graph import Graph
from convert.recognition.blocks import REARRANGING, Lookup, find_lookups, zeros
from convert.recognition.positions import Positions, find_positions
from minilm_jax.errors import ConversionError

_TYPE_NAMES = ("type", "segment")


class EmbeddingTables:
    """The embedding tables of a graph.

    Attributes:
        inputs: The meaning of each graph input that selects table rows; set when `summed_in` finds the embeddings.
        positions: How the graph numbers positions; set at the same time.
    """

    def __init__(self, graph: Graph) -> None:
        """Find the lookups of a graph."""
        self._graph = graph
        self._lookups = {lookup.output: lookup for lookup in find_lookups(graph)}
        self._used: set[str] = set()
        self.inputs: dict[str, str] = {}
        self.positions = Positions()

    def summed_in(self, tensor: str) -> Mapping[str, Constant] | None:
        """Return the tables whose rows add up to a tensor.

        Args:
            tensor: The input of a LayerNorm.

        Returns:
            The tables by name (word, position, token_type), or None if the tensor is not a sum of table rows.

        Raises:
            ConversionError: It is a sum of table rows, but not of those of BERT.
        """
        parts = self._graph.trace_back(tensor, (*REARRANGING, "Add"), self._summand)
        if not parts or any(part is _NOT_A_ROW for part in parts):
            return None
        self._used.update(part.output for part in parts)
        return self._named(parts)

    @property
    def found(self) -> bool:
        """Whether the graph has any tables."""
        return bool(self._lookups)

    def unused(self, needed: Collection[str]) -> list[Lookup]:
        """Return the lookups outside the sum whose rows are in `needed`."""
        # A row of weights that was selected while constants were folded is not an embedding.
        others = set(needed) - self._used - self._graph.folded.keys()
        return [lookup for name, lookup in self._lookups.items() if name in others]

    def _summand(self, tensor: str) -> Lookup | None:
        if (rows := looked_up(self._graph, tensor)) is not None:
            tensor = rows.output
        if tensor in self._lookups:
            return self._lookups[tensor]
        constant = self._graph.constant(tensor)
        if constant is not None and is_float(constant.value) and constant.value.ndim > 1 and constant.value.size:
            return Lookup(_as_table(constant), "", tensor, tensor)
        return None if self._graph.producer(tensor, *REARRANGING, "Add") else _NOT_A_ROW

    def _named(self, parts: list[Lookup]) -> dict[str, Constant]:
        inputs = {part.output: self._input_of(part) for part in parts}
        by_ids = [part for part in parts if inputs[part.output] and not _is_type(inputs[part.output])]
        if not by_ids or not 2 <= len(parts) <= 3:
            sources = ", ".join(repr(part.table.source) for part in parts)
            raise ConversionError(
                f"the first LayerNorm takes the sum of {sources}; in BERT it takes word, position and token type rows."
            )
        words = max(by_ids, key=lambda part: len(part.table.value))
        rest = sorted((p for p in parts if p is not words), key=lambda part: len(part.table.value), reverse=True)
        position = next((p for p in rest if "position" in inputs[p.output]), rest[0])
        self.positions = find_positions(self._graph, position.ids)
        types = [part for part in rest if part is not position]
        # A graph without token types computes the same as one whose token type embedding is zero.
        width = words.table.value.shape[1]
        none = Lookup(zeros(1, width), "", "", "")
        named = {"word": words, "position": position, "token_type": types[0] if types else none}
        ids = {"word": "input_ids", "position": "position_ids", "token_type": "token_type_ids"}
        self.inputs = {inputs.get(named[name].output, ""): meaning for name, meaning in ids.items()}
        return {name: dataclasses.replace(lookup.table, node=lookup.node) for name, lookup in named.items()}

    def _input_of(self, lookup: Lookup) -> str:
        found = self._graph.trace_back(
            lookup.ids, REARRANGING, lambda name: name if name in self._graph.inputs else None
        )
        return found[0] if found else ""


# The operation that is recorded for a table whose rows the file repeats for every text of a batch.
LOOKED_UP = "looked up"
_NOT_A_ROW = Lookup(Constant(np.zeros((0, 0)), ""), "", "", "")


def _is_type(name: str) -> bool:
    return any(part in name for part in _TYPE_NAMES)


def _as_table(constant: Constant) -> Constant:
    # Tools precompute the lookup for a fixed input shape [B, T, D]. All rows of the batch are then equal and, if all
    # ids are equal, all tokens too.
    value = constant.value.reshape(-1, *constant.value.shape[-2:])
    if (value != value[:1]).any():
        raise ConversionError(f"the constant {constant.source!r} adds different embeddings to the texts of a batch.")
    rows = value[0]
    return constant.then(LOOKED_UP, rows[:1] if (rows == rows[:1]).all() else rows)
