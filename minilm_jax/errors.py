"""The exceptions that this project raises; every message says what was wrong, where, and what to do next."""

from collections.abc import Iterable


class MinilmJaxError(Exception):
    """Base of every error that minilm-jax raises on purpose."""


class InputError(MinilmJaxError, ValueError):
    """A text, token id or option that cannot be embedded as given."""


class ModelFileError(MinilmJaxError):
    """A model file that is missing, damaged, or not of the BERT family."""


class ConversionError(MinilmJaxError):
    """An ONNX graph that cannot be converted, or whose conversion could not be proved."""


class SearchIndexError(MinilmJaxError):
    """A search index that is missing, damaged, or of another model."""


def did_you_mean(given: str, possible: Iterable[str]) -> str:
    """Returns the end of a message, " Did you mean 'x'?", or nothing where no possible word is near the given one."""
    import difflib

    near = difflib.get_close_matches(given, list(possible), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
