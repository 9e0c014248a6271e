"""Vectors in the forms that clients ask for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.output_options import OutputOptions
from minilm_jax.serving.request_errors import RequestError
from minilm_jax.serving.service import Service


def output_vectors(
    service: Service, rows: list[Any], *, normalize: bool, dimensions: int | None = None
) -> NDArray[np.float32]:
    """Return vectors, truncated to fewer dimensions and scaled to unit length.

    Args:
        service: The models and settings.
        rows: float32[D] each.
        normalize: Whether to scale them; truncated ones always are.
        dimensions: Number of dimensions to keep, or None for all.

    Raises:
        RequestError: dimensions is not between 1 and D.
    """
    check_dimensions(service, dimensions)
    options = OutputOptions(
        value="sentence_embedding",
        precision="float32",
        convert_to_numpy=True,
        convert_to_tensor=False,
        normalize=normalize or dimensions is not None,
        truncate_dim=dimensions,
    )
    return options.sentences(np.stack(rows))


def check_dimensions(service: Service, dimensions: int | None) -> None:
    """Raise RequestError if the model does not have this many dimensions."""
    most = service.encoder.get_embedding_dimension() if service.encoder else 1
    if dimensions is not None and not 1 <= dimensions <= most:
        raise RequestError(
            f"dimensions is {dimensions}; it must be between 1 and {most}, the model's number.", param="dimensions"
        )
