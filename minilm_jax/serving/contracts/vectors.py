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
        normalize: Whether to scale them; those with the client's number of dimensions always are.
        dimensions: Number of dimensions to keep, see `check_dimensions`; None for those of the encoder.
    """
    options = OutputOptions(
        normalize=normalize or dimensions is not None,
        truncate_dim=dimensions or service.need_encoder().truncate_dim,
    )
    return options.sentences(np.stack(rows))


def check_dimensions(service: Service, dimensions: int | None) -> None:
    """Raise RequestError if the model does not have this many dimensions."""
    most = service.need_encoder().get_embedding_dimension()
    if dimensions is not None and not 1 <= dimensions <= most:
        raise RequestError(
            f"dimensions is {dimensions}; it must be between 1 and {most}, the model's number.", param="dimensions"
        )
