"""Mutations of the bytes of a file, without regard to their meaning."""

from collections.abc import Callable
from random import Random

ByteMutation = Callable[[bytearray, Random], None]

# Unusual values for protobuf varints, which encode sizes, enumerations and lengths.
_VARINTS = (0, 1, 127, 128, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_MAX_SPAN = 200


def _place(data: bytearray, random: Random) -> int:
    # Favors the beginning of the file: it holds the nodes, which matter more than the weights after them.
    return int(len(data) * random.random() ** 3)


def _span(data: bytearray, random: Random) -> slice:
    start = _place(data, random)
    return slice(start, start + random.randint(1, _MAX_SPAN))


def _flip(data: bytearray, random: Random) -> None:
    for _ in range(random.randint(1, 8)):
        if data:
            data[_place(data, random)] ^= 1 << random.randrange(8)


def _delete(data: bytearray, random: Random) -> None:
    del data[_span(data, random)]


def _insert(data: bytearray, random: Random) -> None:
    place = _place(data, random)
    data[place:place] = random.randbytes(random.randint(1, _MAX_SPAN))


def _overwrite(data: bytearray, random: Random) -> None:
    span = _span(data, random)
    data[span] = random.randbytes(len(data[span]))


def _truncate(data: bytearray, random: Random) -> None:
    del data[random.randint(0, len(data)) :]


def _duplicate(data: bytearray, random: Random) -> None:
    place = _place(data, random)
    data[place:place] = data[_span(data, random)]


def _varint(data: bytearray, random: Random) -> None:
    place = _place(data, random)
    data[place : place + random.randint(1, 2)] = varint(random.choice(_VARINTS))


def varint(value: int) -> bytes:
    """Return an integer encoded as a protobuf varint."""
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127)
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


BYTE_MUTATIONS: tuple[ByteMutation, ...] = (_flip, _delete, _insert, _overwrite, _truncate, _duplicate, _varint)
