"""Compatibility with sentence-transformers: its keyword names, and errors for keywords that only torch supports."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.nn.settings import default_platform

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OUR_NAMES = {
    "sentences": "inputs",
    "model_name_or_path": "source",
    "cache_folder": "cache_dir",
    "use_auth_token": "token",
    "max_length": "max_seq_length",
    "default_activation_function": "activation_fn",
}
_PROCESSES = "one process uses all cores, or the accelerator, without worker processes"
_TRANSFORMERS = "the transformers library is not used; precision and max_seq_length are the available settings"
_ROUTER = "routers are not supported; use prompt or prompt_name to distinguish tasks"
_UNSUPPORTED = {
    "pool": _PROCESSES,
    "chunk_size": _PROCESSES,
    "task": _ROUTER,
    "processing_kwargs": _TRANSFORMERS,
    "model_kwargs": _TRANSFORMERS,
    "tokenizer_kwargs": _TRANSFORMERS,
    "processor_kwargs": _TRANSFORMERS,
    "config_kwargs": _TRANSFORMERS,
    "trust_remote_code": "code in model folders is never run",
    "backend": "the backend is XLA; on a CPU, precision='int8' is the fastest",
    "modules": "pass params, config and tokenizer instead",
    "model_card_data": "model cards are not written",
}
_PLATFORMS = {"cuda": "gpu", "rocm": "gpu"}


def sentence_transformers_keywords(function: _Function) -> _Function:
    """Let a function accept the keywords of sentence-transformers.

    Keywords with another name here are renamed. Keywords that only torch supports are accepted if they are None or
    False. Any other value of them, and any unknown keyword, raises an InputError that names the alternative.
    """
    parameters = inspect.signature(function).parameters
    accepts_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())

    @functools.wraps(function)
    def wrapper(*args: Any, **keywords: Any) -> Any:
        if keywords.keys() <= parameters.keys():
            return function(*args, **keywords)
        renamed = {_OUR_NAMES.get(name, name): value for name, value in keywords.items()}
        for name in [name for name in renamed if name not in parameters and not accepts_all]:
            _check_unsupported(name, renamed.pop(name), [*parameters])
        return function(*args, **renamed)

    return wrapper  # pyright: ignore[reportReturnType] the wrapper accepts the function's signature and more


def _check_unsupported(name: str, value: Any, known: list[str]) -> None:
    if name not in _UNSUPPORTED:
        raise InputError(f"unknown keyword {name!r}.{did_you_mean(name, known)}")
    if value:
        raise InputError(f"{name} is not supported: {_UNSUPPORTED[name]}. Remove it from the call.")


def check_device(device: Any) -> None:
    """Check a device, written as in torch, against the kind of device that jax computes on.

    Raises:
        InputError: The device is of another kind, or a list of devices.
    """
    kind = str(device).partition(":")[0]
    if _PLATFORMS.get(kind, kind) != (computing := default_platform()):
        raise InputError(
            f"device is {device!r}, but jax computes on {computing} here. Leave device out; to choose another, set"
            " JAX_PLATFORMS, or use jax.default_device while loading the model."
        )
