"""From a valid file and a number to a damaged file, always the same one."""

from random import Random

import onnx
from google.protobuf.message import DecodeError

from tests.convert.fuzz.byte_mutations import BYTE_MUTATIONS
from tests.convert.fuzz.graph_mutations import GRAPH_MUTATIONS
from tests.convert.fuzz.tensor_mutations import TENSOR_MUTATIONS

_MOST_MUTATIONS = 4
_BYTES_SHARE = 0.3


def mutate(data: bytes, number: int) -> bytes:
    """Damage a file.

    Args:
        data: A file, valid or not.
        number: Chooses the damage.

    Returns:
        The damaged file.
    """
    random = Random(number)
    damaged = bytearray(data)
    if random.random() >= _BYTES_SHARE:
        try:
            return _mutate_graph(onnx.ModelProto.FromString(data), random)
        except DecodeError:
            pass
    for _ in range(random.randint(1, _MOST_MUTATIONS)):
        random.choice(BYTE_MUTATIONS)(damaged, random)
    return bytes(damaged)


def _mutate_graph(model: onnx.ModelProto, random: Random) -> bytes:
    for _ in range(random.randint(1, _MOST_MUTATIONS)):
        if model.graph.node:
            random.choice(random.choice([GRAPH_MUTATIONS, TENSOR_MUTATIONS]))(model, random)
    return model.SerializeToString(deterministic=True)
