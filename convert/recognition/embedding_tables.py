"""Recognises the embedding tables of BERT: what is summed up before the first LayerNorm, and which of them is which."""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from convert.graph.constants import is_float
from convert.graph.graph import Constant, Graph
from convert.recognition.blocks import LAYOUT, Lookup, find_lookups, zeros
from minilm_jax.errors import ConversionError

_TYPE_NAMES = ("type", "segment")


class EmbeddingTables:
    """The tables that a graph looks rows up in.

    Attributes:
        inputs: What the inputs of the graph mean that rows are looked up by, once `summed_in` has found BERT's sum.
    """

    def __init__(self, graph: Graph) -> None:
        """Finds the lookups of a graph."""
        self._graph = graph
        self._lookups = {lookup.output: lookup for lookup in find_lookups(graph)}
        self._used: set[str] = set()
        self.inputs: dict[str, str] = {}

    def summed_in(self, tensor: str) -> Mapping[str, Constant] | None:
        """Names the tables whose rows a tensor is the sum of.

        Args:
            tensor: What a LayerNorm takes.

        Returns:
            The tables named word, position and token_type, or None if the tensor is no sum of rows.

        Raises:
            ConversionError: It is such a sum, but not BERT's.
        """
        parts = self._graph.trace_back(tensor, (*LAYOUT, "Add"), self._summand)
        if not parts or any(part is _SOMETHING_ELSE for part in parts):
            return None
        self._used.update(part.output for part in parts)
        return self._named(parts)

    @property
    def found(self) -> bool:
        """Whether there are any."""
        return bool(self._lookups)

    def unused(self, needed: Collection[str]) -> list[Lookup]:
        """Returns the lookups that are no part of the sum, of those whose rows are needed."""
        return [lookup for name, lookup in self._lookups.items() if name in needed and name not in self._used]

    def _summand(self, tensor: str) -> Lookup | None:
        if tensor in self._lookups:
            return self._lookups[tensor]
        constant = self._graph.constant(tensor)
        if constant is not None and is_float(constant.value) and constant.value.ndim > 1 and constant.value.size:
            return Lookup(_as_table(constant), "", tensor, tensor)
        return None if self._graph.producer(tensor, *LAYOUT, "Add") else _SOMETHING_ELSE

    def _named(self, parts: list[Lookup]) -> dict[str, Constant]:
        inputs = {part.output: self._input_of(part) for part in parts}
        by_ids = [part for part in parts if inputs[part.output] and not _is_type(inputs[part.output])]
        if not by_ids or not 2 <= len(parts) <= 3:
            sources = ", ".join(repr(part.table.source) for part in parts)
            raise ConversionError(
                f"the first LayerNorm is over the sum of {sources}; BERT's is over word, position and token type rows."
            )
        words = max(by_ids, key=lambda part: len(part.table.value))
        rest = sorted((p for p in parts if p is not words), key=lambda part: len(part.table.value), reverse=True)
        position = next((p for p in rest if "position" in inputs[p.output]), rest[0])
        self._check_positions(position)
        types = [part for part in rest if part is not position]
        # A graph that adds no token types computes what zeros would add.
        width = words.table.value.shape[1]
        none = Lookup(zeros(1, width), "", "", "")
        named = {"word": words, "position": position, "token_type": types[0] if types else none}
        ids = {"word": "input_ids", "position": "position_ids", "token_type": "token_type_ids"}
        self.inputs = {inputs.get(named[name].output, ""): meaning for name, meaning in ids.items()}
        return {name: dataclasses.replace(lookup.table, node=lookup.node) for name, lookup in named.items()}

    def _input_of(self, lookup: Lookup) -> str:
        found = self._graph.trace_back(lookup.ids, LAYOUT, lambda name: name if name in self._graph.inputs else None)
        return found[0] if found else ""

    def _check_positions(self, position: Lookup) -> None:
        through = (*LAYOUT, "Slice", "Add", "Mul")
        counted = self._graph.trace_back(position.ids, through, lambda tensor: self._graph.producer(tensor, "CumSum"))
        if counted:
            raise ConversionError(
                f"{counted[0]} counts positions from the padding id on, as RoBERTa does; BERT's start at 0."
            )
        for ids in self._graph.trace_back(position.ids, (*LAYOUT, "Slice"), self._graph.constant):
            flat = ids.value.reshape(-1)
            if not np.array_equal(flat, np.arange(flat.size)):
                raise ConversionError(f"the position ids {ids.source!r} are not 0, 1, 2 …, as BERT's are.")


_SOMETHING_ELSE = Lookup(Constant(np.zeros((0, 0)), ""), "", "", "")


def _is_type(name: str) -> bool:
    return any(part in name for part in _TYPE_NAMES)


def _as_table(constant: Constant) -> Constant:
    # For one shape of input, tools compute the lookup: [B, T, D], the same in every row of the batch; and all along a
    # row, where the ids are.
    value = constant.value.reshape(-1, *constant.value.shape[-2:])
    if (value != value[:1]).any():
        raise ConversionError(f"the constant {constant.source!r} adds different embeddings to the rows of a batch.")
    rows = value[0]
    return constant.then("looked up", rows[:1] if (rows == rows[:1]).all() else rows)
