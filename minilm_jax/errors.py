"""The exceptions that this project raises; every message says what was wrong, where, and what to do next."""


class MinilmJaxError(Exception):
    """Base of every error that minilm-jax raises on purpose."""


class InputError(MinilmJaxError, ValueError):
    """A text, token id or option that cannot be embedded as given."""


class ModelFileError(MinilmJaxError):
    """A model file that is missing, damaged, or not of the BERT family."""


class ConversionError(MinilmJaxError):
    """An ONNX graph that cannot be converted, or whose conversion could not be proved."""
