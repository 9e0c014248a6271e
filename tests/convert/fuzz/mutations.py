"""Derive a damaged file from a valid file and a number, deterministically."""

from random import Random

import onnx
from google.protobuf.message import DecodeError

from tests.convert.fuzz.byte_mutations import BYTE_MUTATIONS
from tests.convert.fuzz.graph_mutations import GRAPH_MUTATIONS
from tests.convert.fuzz.tensor_mutations import TENSOR_MUTATIONS

_MAX_MUTATIONS = 4
_BYTE_MUTATION_PROBABILITY = 0.3


def mutate(data: bytes, number: int) -> bytes:
    """Return a damaged copy of a file.

    Args:
        data: The contents of a file, valid or not.
        number: The seed that selects the mutations.

    Returns:
        The contents of the damaged file.
    """
    random = Random(number)
    damaged = bytearray(data)
    if random.random() >= _BYTE_MUTATION_PROBABILITY:
        try:
            return _mutate_graph(onnx.ModelProto.FromString(data), random)
        except DecodeError:
            pass
    for _ in range(random.randint(1, _MAX_MUTATIONS)):
        random.choice(BYTE_MUTATIONS)(damaged, random)
    return bytes(damaged)


def _mutate_graph(model: onnx.ModelProto, random: Random) -> bytes:
    for _ in range(random.randint(1, _MAX_MUTATIONS)):
        if model.graph.node:
            random.choice(random.choice([GRAPH_MUTATIONS, TENSOR_MUTATIONS]))(model, random)
    return model.SerializeToString(deterministic=True)
