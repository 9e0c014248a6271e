"""Calls written for sentence-transformers: keywords by its names, and those that only torch can obey, refused."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from minilm_jax.errors import InputError, did_you_mean

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OUR_NAMES = {"sentences": "inputs", "model_name_or_path": "source", "cache_folder": "cache_dir"}
_PROCESSES = "there are no worker processes; all cores, or the accelerator, are used by themselves"
_TRANSFORMERS = "no transformers library is behind this; precision and max_seq_length are what can be chosen"
_PUBLISHED = "a model known by name is one version, checked by its sha256; for another one give its folder"
_ROUTER = "there are no routers; prompt and prompt_name are all that tells tasks apart"
_NOT_HERE = {
    "pool": _PROCESSES,
    "chunk_size": _PROCESSES,
    "task": _ROUTER,
    "processing_kwargs": _TRANSFORMERS,
    "model_kwargs": _TRANSFORMERS,
    "tokenizer_kwargs": _TRANSFORMERS,
    "processor_kwargs": _TRANSFORMERS,
    "config_kwargs": _TRANSFORMERS,
    "revision": _PUBLISHED,
    "token": _PUBLISHED,
    "use_auth_token": _PUBLISHED,
    "local_files_only": "what the cache holds is not asked for again; HF_HUB_OFFLINE=1 keeps off the hub",
    "trust_remote_code": "no code is loaded from model folders",
    "backend": "the backend is XLA; precision='int8' is the fast one on a CPU",
    "modules": "give params, config and tokenizer instead",
    "model_card_data": "no model card is written",
}
_PLATFORMS = {"cuda": "gpu", "rocm": "gpu"}


def sentence_transformers_keywords(function: _Function) -> _Function:
    """Lets a function be called with the keywords of sentence-transformers.

    Those with another name here get it. Those that mean something to torch alone may be None or False; anything else,
    and keywords that nobody knows, is an InputError that says what there is instead.
    """
    parameters = inspect.signature(function).parameters
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())

    @functools.wraps(function)
    def called(*args: Any, **keywords: Any) -> Any:
        renamed = {_OUR_NAMES.get(name, name): value for name, value in keywords.items()}
        for name in [name for name in renamed if name not in parameters and not passes_on]:
            _refuse(name, renamed.pop(name), [*parameters])
        return function(*args, **renamed)

    return called  # pyright: ignore[reportReturnType] it has the signature of the function, and more


def _refuse(name: str, value: Any, known: list[str]) -> None:
    if name not in _NOT_HERE:
        raise InputError(f"there is no keyword {name!r} here.{did_you_mean(name, known)}")
    if value:
        raise InputError(f"{name} means nothing here: {_NOT_HERE[name]}. Leave it out.")


def check_device(device: Any) -> None:
    """Refuses devices, written as torch does, other than the kind that jax computes on.

    Raises:
        InputError: The device is of another kind, or a list of them.
    """
    if device is None:
        return
    kind = str(device).partition(":")[0]
    if _PLATFORMS.get(kind, kind) != (computing := jax.default_backend()):
        raise InputError(
            f"device is {device!r}, but jax computes on {computing} here. Leave it out; JAX_PLATFORMS, or"
            " jax.default_device around loading the model, chooses another."
        )
