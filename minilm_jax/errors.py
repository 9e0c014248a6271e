"""The exceptions of minilm-jax. Every message names the problem, its location, and a fix."""

from collections.abc import Iterable


class MinilmJaxError(Exception):
    """Base class of all errors that minilm-jax raises deliberately."""


class InputError(MinilmJaxError, ValueError):
    """An invalid text, token id, argument or option, or an input file that cannot be read."""


class MissingPackageError(InputError, ImportError):
    """A package that is not installed; the message names the extra that installs it."""


class ModelFileError(MinilmJaxError):
    """A model file that is missing, damaged, or not of a BERT encoder."""


class ConversionError(MinilmJaxError):
    """An ONNX graph that cannot be converted, or whose converted params failed verification."""


class SearchIndexError(MinilmJaxError):
    """A search index that is missing, damaged, or built with another model."""


class OverloadedError(MinilmJaxError):
    """More requests are waiting than a queue takes; try again later.

    Attributes:
        retry_after: Seconds after which the waiting requests should be finished.
    """

    def __init__(self, waiting: int, retry_after: float) -> None:
        """State how many tokens are waiting, and for how many seconds."""
        super().__init__(f"{waiting:,} tokens are waiting; try again in {retry_after:.1f} seconds.")
        self.retry_after = retry_after


def did_you_mean(given: str, possible: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest possible word, or "" if none is close."""
    import difflib  # Imported here, because most processes end without this error.

    close = difflib.get_close_matches(given, list(possible), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
