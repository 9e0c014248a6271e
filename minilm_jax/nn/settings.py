"""Independence of JAX's settings: its platform, guards against transfers, and disabled compilation."""

import contextlib
import os
from collections.abc import Iterator

import jax

from minilm_jax.errors import InputError
from minilm_jax.forks import check_not_forked

# A decorator: compiled programs run even if `jax_disable_jit` is set.
enable_jit = jax.disable_jit(False)


@contextlib.contextmanager
def device_use() -> Iterator[None]:
    """Allow the copies between host and device that a function makes by design; also a decorator.

    Raises:
        InputError: JAX cannot use the platform that JAX_PLATFORMS names.
        MinilmJaxError: This process was forked after JAX was used.
    """
    check_not_forked()
    default_platform()
    # `jax.transfer_guard` sets these three, but takes twice the time.
    with (
        jax.transfer_guard_host_to_device("allow"),
        jax.transfer_guard_device_to_host("allow"),
        jax.transfer_guard_device_to_device("allow"),
    ):
        yield


def default_platform() -> str:
    """Return the platform that JAX computes on, "cpu", "gpu" or "tpu"; raises InputError if there is none."""
    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError) as error:  # JAX asserts that one of the named platforms works.
        named = jax.config.values["jax_platforms"] or os.environ.get("JAX_PLATFORMS", "")
        reason = f" ({error})" if str(error) else ""
        raise InputError(
            f"jax cannot compute on JAX_PLATFORMS={named!r} here{reason}; unset JAX_PLATFORMS to use the devices that"
            " there are, or install jax for that platform, such as pip install 'jax[cuda13]'."
        ) from error
