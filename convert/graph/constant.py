"""Tensors that do not depend on the inputs of a graph."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Columns(NamedTuple):
    """The columns `start` to `stop` of a matrix that holds several weights side by side."""

    start: int
    stop: int

    def __str__(self) -> str:
        return f"columns {self.start}:{self.stop}"


@dataclasses.dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that does not depend on the inputs.

    Attributes:
        value: Its values; a view of the initializer where they were only rearranged.
        source: Name of the initializer or Constant node that holds the values in the file.
        undone: The operations between the source and this tensor, such as "Transpose".
        stored: The type of the values in the file, such as float32 or int8.
        factor: The number to multiply the values by, for a weight that the file holds divided by it.
        node: Label of the node that uses it as a weight.
    """

    value: NDArray[Any]
    source: str
    undone: tuple[str | Columns, ...] = ()
    stored: str = ""
    factor: float = 1.0
    node: str = ""

    @property
    def weight(self) -> NDArray[np.float32]:
        """The values as a weight: float32, in C order, multiplied by the factor."""
        values = np.ascontiguousarray(self.value, np.float32)
        return values if self.factor == 1 else values * np.float32(self.factor)

    def then(self, operation: str | Columns, value: NDArray[Any]) -> "Constant":
        """Return the result of an operation on this constant, with the operation recorded."""
        return dataclasses.replace(self, value=value, undone=(*self.undone, operation))


def is_float(array: NDArray[Any]) -> bool:
    """Return whether an array holds floating-point values, including bfloat16."""
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def owner(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
