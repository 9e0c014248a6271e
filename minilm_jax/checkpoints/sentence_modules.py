"""The modules of a sentence-transformers folder: its transformer, pooling, projections and normalization."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from minilm_jax.checkpoints.hub_files import MODULES_FILE
from minilm_jax.checkpoints.json_files import read_json
from minilm_jax.config import Projection, ProjectionActivation, SparseHead
from minilm_jax.config.heads import heads_of
from minilm_jax.errors import ModelFileError

# The names of sentence-transformers for modes and activations. Up to version 5, it writes one boolean per mode; the
# vectors of several modes are concatenated in this order.
MODES = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last_token",
}
MODE_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS: Mapping[str, ProjectionActivation] = {
    "Identity": "identity",
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "Sigmoid": "sigmoid",
}
# Settings of modules that may be absent, or have this value.
_SENTENCE = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "Pooling": {"include_prompt": True},
    "Dense": {**_SENTENCE, "use_residual": False},
    "LayerNorm": {},
    "Normalize": _SENTENCE,
    "Dropout": {},
    "SpladePooling": {},
}
# The name of the first module in older sparse encoders is the second one.
_TRANSFORMERS = ("Transformer", "MLMTransformer")


@dataclasses.dataclass(frozen=True)
class Module:
    """An entry of `modules.json`.

    Attributes:
        kind: The name of its class, such as Pooling.
        folder: The folder with its files.
    """

    kind: str
    folder: Path


@dataclasses.dataclass(frozen=True)
class SentenceModules:
    """The modules after the transformer, in the terms of `EncoderConfig`.

    Attributes:
        pooling: The modes of pooling.
        projections: The modules between pooling and normalization.
        normalize: Whether vectors are scaled to unit length.
        pooled_from: Dimensions of a token vector, or None if it is not stated.
        projection_folders: The folder of each projection, which contains its weights.
        sparse_head: The head of a sparse encoder, which has none of the others; or None.
    """

    pooling: str
    projections: tuple[Projection, ...]
    normalize: bool
    pooled_from: int | None = None
    projection_folders: tuple[Path, ...] = ()
    sparse_head: SparseHead | None = None


def transformer_folder(folder: Path) -> Path:
    """Return the folder of config.json, weights and tokenizer: the model folder, or a subfolder that it names.

    Raises:
        ModelFileError: `modules.json` is damaged.
    """
    modules = _read_modules(folder) if (folder / MODULES_FILE).exists() else []
    return modules[0].folder if modules and modules[0].kind in _TRANSFORMERS else folder


def read_sentence_modules(folder: Path) -> SentenceModules | None:
    """Read `modules.json` and the files that it refers to.

    Args:
        folder: A model folder.

    Returns:
        The modules, or None if the folder has neither this file nor the folder of a Pooling module, or only a
        transformer, as cross-encoders have.

    Raises:
        ModelFileError: A file is missing or damaged, or a module or a setting is not implemented.
    """
    path = folder / MODULES_FILE
    if not path.exists():
        if poolings := sorted(folder.glob("*_Pooling/config.json")):
            raise ModelFileError(f"{path} is missing, although {poolings[0].parent.name} exists; download it too.")
        return None
    modules = _read_modules(folder)
    kinds = [module.kind for module in modules]
    if kinds == ["Transformer"] and "classifier" in heads_of(read_json(modules[0].folder / "config.json", dict)):
        return None
    if len(kinds) == 2 and kinds[0] in _TRANSFORMERS and kinds[1] == "SpladePooling":
        return SentenceModules("mean", (), normalize=False, sparse_head=_sparse_head(modules[1]))
    if kinds[:2] != ["Transformer", "Pooling"] or not {*kinds[2:]} <= {*_DEFAULTS} - {"Pooling", "SpladePooling"}:
        raise ModelFileError(
            f"{path}: the modules are {', '.join(kinds)[:200]}; implemented: Transformer, Pooling, then Dense,"
            " LayerNorm, Dropout and Normalize."
        )
    _, pooling, *others = modules
    projections = [module for module in others if module.kind in ("Dense", "LayerNorm")]
    if projections and "Normalize" in [module.kind for module in others[: others.index(projections[-1])]]:
        raise ModelFileError(f"{path}: Normalize before {projections[-1].kind} is not implemented.")
    config = _settings(pooling)
    return SentenceModules(
        pooling="+".join(_pooling_modes(config, pooling)),
        projections=tuple(map(_projection, projections)),
        normalize="Normalize" in [_checked(module).kind for module in others],
        pooled_from=config.get("word_embedding_dimension", config.get("embedding_dimension")),
        projection_folders=tuple(module.folder for module in projections),
    )


def _sparse_head(module: Module) -> SparseHead:
    values = _settings(module)
    try:
        return SparseHead(values.get("pooling_strategy", "max"), values.get("activation_function", "relu"))
    except ModelFileError as error:
        raise ModelFileError(f"{module.folder / 'config.json'}: {error}") from None


def _read_modules(folder: Path) -> list[Module]:
    path = folder / MODULES_FILE
    return [_module(entry, path) for entry in read_json(path, list)]


def _module(entry: Any, path: Path) -> Module:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in ("type", "path")):
        raise ModelFileError(f"{path}: {entry!r:.200} is not a module with a type and a path; download it again.")
    package, _, kind = entry["type"].rpartition(".")
    inner = PurePosixPath(entry["path"])
    if package.partition(".")[0] != "sentence_transformers":
        raise ModelFileError(f"{path}: {entry['type']!r:.200} is not a module of sentence-transformers; it is not run.")
    if inner.is_absolute() or ".." in inner.parts or "\\" in entry["path"]:
        raise ModelFileError(f"{path}: the path {entry['path']!r:.200} is outside of the folder.")
    return Module(kind, path.parent / inner)


def _settings(module: Module) -> dict[str, Any]:
    """Return the settings of a module; raises ModelFileError if one is not implemented."""
    path = module.folder / "config.json"
    values = read_json(path, dict)
    for name, default in _DEFAULTS[module.kind].items():
        if values.get(name, default) not in (default, None):
            raise ModelFileError(f"{path}: {name} is {values[name]!r:.60}, but only {default!r} is implemented.")
    return values


def _checked(module: Module) -> Module:
    # Old versions of sentence-transformers write no config.json for Normalize and Dropout.
    if (module.folder / "config.json").exists():
        _settings(module)
    return module


def _pooling_modes(values: Mapping[str, Any], module: Module) -> Sequence[str]:
    named = values.get("pooling_mode")
    if named is None:
        named = [mode for switch, mode in MODE_SWITCHES.items() if values.get(switch) is True]
        # Without an active mode, sentence-transformers takes the mean.
        named = named or ["mean"] * any(switch in values for switch in MODE_SWITCHES)
    modes = [named] if isinstance(named, str) else named
    unknown = [name for name in values if name.startswith("pooling_mode_") and name not in MODE_SWITCHES]
    if unknown or not isinstance(modes, list) or not modes or not all(mode in [*MODES] for mode in modes):
        raise ModelFileError(
            f"{module.folder / 'config.json'}: pooling is {unknown or modes!r:.200}; implemented: {', '.join(MODES)}."
        )
    return [MODES[mode] for mode in modes]


def _projection(module: Module) -> Projection:
    values = _settings(module)
    size = "out_features" if module.kind == "Dense" else "dimension"
    activation = str(values.get("activation_function", "Tanh")).rpartition(".")[2] if module.kind == "Dense" else ""
    try:
        if module.kind == "LayerNorm":
            return Projection("layer_norm", values.get(size, 0))
        return Projection("dense", values.get(size, 0), ACTIVATIONS[activation])
    except KeyError:
        reason = f"activation_function is {activation!r:.60}; implemented: {', '.join(ACTIVATIONS)}"
    except ModelFileError as error:
        reason = str(error)
    raise ModelFileError(f"{module.folder / 'config.json'}: {reason}.")
