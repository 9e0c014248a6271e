"""Models of the Hugging Face hub by name, through huggingface_hub and its cache; pickles and code are never fetched."""

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from minilm_jax.checkpoints import hub_messages
from minilm_jax.checkpoints.disk_errors import disk_error
from minilm_jax.checkpoints.hub_files import (
    MODULES_FILE,
    ROOT,
    graph_files,
    local_modules,
    local_names,
    module_folders,
    settings_files,
    weight_files,
)
from minilm_jax.errors import ModelFileError
from minilm_jax.progress import silenced

# sentence-transformers publishes its models under this owner, and adds it to names without one.
_DEFAULT_OWNER = "sentence-transformers"
# Names of files are not names of models.
_FILE_SUFFIXES = (
    *(".onnx", ".safetensors", ".msgpack", ".orbax", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".npz"),
    *(".stablehlo", ".zip", ".gz", ".tar", ".json", ".jsonl", ".csv", ".parquet", ".txt", ".py"),
)
_ELSEWHERE = "Set HF_HOME or cache_dir to another folder."


@dataclasses.dataclass(frozen=True)
class HubOptions:
    """How to access the hub.

    Attributes:
        revision: A branch, tag or commit; the main branch if None.
        token: An access token, True for the one stored by `hf auth login`, or None for that or HF_TOKEN if present.
        local_files_only: Whether to use only files that are in the cache.
    """

    revision: str | None = None
    token: str | bool | None = dataclasses.field(default=None, repr=False)
    local_files_only: bool = False


def is_hub_name(source: str) -> bool:
    """Return whether a text can be the name of a model on the hub, and not a path."""
    if not source or source.startswith(("/", ".", "~")) or source.lower().endswith(_FILE_SUFFIXES):
        return False
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return True


def repository(name: str) -> str:
    """Return the owner and name of a model's repository."""
    return name if "/" in name else f"{_DEFAULT_OWNER}/{name}"


def download(name: str, options: HubOptions, cache_dir: str | Path | None = None, *, onnx: bool = False) -> Path:
    """Return the folder of a model in the hub's cache, after downloading what is missing.

    Args:
        name: The name of the model, with or without its owner.
        options: How to access the hub.
        cache_dir: The hub's cache; by default the one that HF_HOME or HF_HUB_CACHE selects.
        onnx: Whether the ONNX file is needed instead of safetensors.

    Returns:
        The folder, with settings, tokenizer and weights.

    Raises:
        ModelFileError: The model does not exist, cannot be accessed, is not a supported encoder, or has no weights in
            a supported format.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    repo, revision = repository(name), options.revision
    if options.local_files_only or constants.HF_HUB_OFFLINE:
        switch = "local_files_only" if options.local_files_only else "HF_HUB_OFFLINE"
        return _from_cache(repo, options, cache_dir, hub_messages.turned_off(name, repo, revision, switch), onnx=onnx)
    try:
        return _fetch(repo, options, cache_dir, onnx=onnx)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelFileError(hub_messages.refused(name, repo, revision, error)) from None
    except ModelFileError:
        raise
    except Exception as error:  # Each version of huggingface_hub has its own errors for a missing connection.
        full = disk_error(error, Path(cache_dir or constants.HF_HUB_CACHE), _ELSEWHERE)
        failure = str(full or hub_messages.not_reached(name, repo, revision, error, options.token))
    return _from_cache(repo, options, cache_dir, failure, onnx=onnx)


def _fetch(repo: str, options: HubOptions, cache_dir: str | Path | None, *, onnx: bool) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    # This request is short, because without a connection snapshot_download takes long to fail.
    timeout = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", "3"))
    info = HfApi(token=options.token).model_info(repo, revision=options.revision, timeout=timeout)
    names = [file.rfilename for file in info.siblings or []]

    def fetch(name: str) -> Path:
        # If the cache has this commit of the file, no request is made.
        return Path(hf_hub_download(repo, name, revision=info.sha, token=options.token, cache_dir=cache_dir))

    folders = module_folders(fetch(MODULES_FILE)) if MODULES_FILE in names else [ROOT]
    settings, weights = settings_files(names, folders), weight_files(names, folders, onnx=onnx)
    if not weights:
        raise ModelFileError(hub_messages.no_weights(repo, names, folders, onnx=onnx))
    # Settings are downloaded before weights, so a cache with weights is complete, and other architectures are rejected
    # early.
    paths = [fetch(name) for name in settings]
    if paths:
        folder = paths[0].parents[settings[0].count("/")]
        if not graph_files(weights):
            _check_architecture(repo, folder)
        known = try_to_load_from_cache(repo, settings[0], revision=options.revision, cache_dir=cache_dir)
        if known == str(paths[0]) and all((folder / name).is_file() for name in weights):
            return folder
    return _snapshot(repo, [*settings, *weights], options, cache_dir)


def _snapshot(repo: str, names: list[str], options: HubOptions, cache_dir: str | Path | None) -> Path:
    """Return the folder of a repository in the hub's cache, after downloading the missing ones of these files."""
    from huggingface_hub import snapshot_download

    with _progress_bars():
        folder = snapshot_download(
            repo,
            # The name of the revision, not its commit, so that the cache knows the name without a connection.
            revision=options.revision,
            # These names are patterns, in which brackets have a meaning.
            allow_patterns=[re.sub(r"([\[*?])", r"[\1]", name) for name in names],
            token=options.token,
            cache_dir=cache_dir,
        )
    if missing := [name for name in names if not (Path(folder) / name).is_file()]:
        raise FileNotFoundError(f"{missing[0]} was not downloaded")
    return Path(folder)


@contextlib.contextmanager
def _progress_bars() -> Iterator[None]:
    """Hide the progress bars of huggingface_hub with --quiet and outside of terminals."""
    from huggingface_hub import constants
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = sys.stderr is not None and sys.stderr.isatty() and not silenced()
    if shown or are_progress_bars_disabled() or constants.HF_HUB_DISABLE_PROGRESS_BARS is not None:
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _check_architecture(repo: str, folder: Path) -> None:
    # These modules import jax, which not all commands need.
    from minilm_jax.checkpoints.json_files import read_json
    from minilm_jax.checkpoints.sentence_modules import read_sentence_modules, transformer_folder
    from minilm_jax.config import EncoderConfig

    try:
        EncoderConfig.from_dict(read_json(transformer_folder(folder) / "config.json", dict))
        read_sentence_modules(folder)
    except ModelFileError as error:
        raise ModelFileError(f"{repo}: {error}") from None


def _from_cache(repo: str, options: HubOptions, cache_dir: str | Path | None, failure: str, *, onnx: bool) -> Path:
    """Return the folder of a model in the hub's cache; if it is not there, raise a ModelFileError with `failure`."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("config.json", MODULES_FILE, "model.onnx"):
        found = try_to_load_from_cache(repo, file, revision=options.revision, cache_dir=cache_dir)
        if isinstance(found, str):
            folder = Path(found).parent
            # An interrupted download leaves a folder without weights.
            if weight_files(local_names(folder), local_modules(folder), onnx=onnx):
                return folder
    raise ModelFileError(failure)
