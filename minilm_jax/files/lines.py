"""The lines of UTF-8 files, and the reason why a file is not UTF-8."""

import codecs
import contextlib
import io
import itertools
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from minilm_jax.errors import InputError

# Files that start with these bytes are often given by mistake.
_SIGNATURES: Mapping[bytes, str] = {
    b"\x1f\x8b": "the file is compressed with gzip; decompress it first",
    b"\x28\xb5\x2f\xfd": "the file is compressed with zstd; decompress it first",
    b"PK\x03\x04": "the file is a zip archive or a spreadsheet; export its texts as CSV",
    b"PAR1": "the file is Parquet; name its format with --from parquet",
}


def read_lines(file: BinaryIO, *, universal_newlines: bool = True) -> Iterator[str]:
    r"""Decode a UTF-8 file, with or without a byte order mark, line by line.

    Args:
        file: File opened for reading in binary mode. It is left open.
        universal_newlines: Whether every line end becomes "\n". CSV files need False, as fields may contain line ends.

    Yields:
        Lines. A byte that is not UTF-8 becomes a lone surrogate, so that the error can name its line or value.

    Raises:
        InputError: The file is not text, or its encoding is UTF-16 or UTF-32.
    """
    reader = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline=None if universal_newlines else "")
    try:
        first = next(reader, "")
        if problem := _problem_of_start(first.encode(errors="surrogateescape")):
            raise InputError(f"line 1: {problem}")
        yield from itertools.chain([first] if first else [], reader)
    finally:
        with contextlib.suppress(ValueError):  # The caller may have closed the file already.
            reader.detach()


def is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogates, which stand for bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _problem_of_start(data: bytes) -> str | None:
    """Return why a file that starts with these bytes cannot be read as UTF-8 text, or None."""
    for start, kind in _SIGNATURES.items():
        if data.startswith(start):
            return f"{kind}."
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or data[:4] == codecs.BOM_UTF32_BE:
        wide = "UTF-32" if data[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE) else "UTF-16"
    elif _has_zeros_at_every_other_byte(data[:6]):
        wide = "UTF-16BE" if data[0] == 0 else "UTF-16LE"
    else:
        return None
    return f"the file is {wide}, not UTF-8; convert it with iconv --from-code {wide.lower()} --to-code utf-8."


def _has_zeros_at_every_other_byte(data: bytes) -> bool:
    """Return whether bytes look like ASCII characters in UTF-16."""
    zeros = [byte == 0 for byte in data]
    return len(zeros) > 1 and all(a != b for a, b in itertools.pairwise(zeros))
