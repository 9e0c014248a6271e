"""Models of the Hugging Face hub by name, through huggingface_hub and its cache; pickles and code are never fetched."""

import contextlib
import dataclasses
import difflib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from minilm_jax.converter import import_converter
from minilm_jax.errors import ModelFileError
from minilm_jax.progress import silenced

# sentence-transformers publishes its models under this owner, and adds it to names without one.
_DEFAULT_OWNER = "sentence-transformers"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
# Names of files are not names of models.
_FILE_SUFFIXES = (
    *(".onnx", ".safetensors", ".msgpack", ".orbax", ".bin", ".pt", ".pth", ".gguf"),
    *(".json", ".jsonl", ".csv", ".parquet", ".txt", ".zip"),
)
_SETTINGS = (
    "config.json",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
_MODULE = re.compile(r"\d+_\w+/(model\.safetensors|[\w-]+\.json)")
_SAFETENSORS = re.compile(r"(0_Transformer/)?model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
_ONNX = ("onnx/model.onnx", "model.onnx")
# Above this similarity, a name that the hub does not know is taken for a misspelling.
_SIMILAR = 0.93


@dataclasses.dataclass(frozen=True)
class HubOptions:
    """How to access the hub.

    Attributes:
        revision: A branch, tag or commit; the main branch if None.
        token: An access token, True for the one stored by `hf auth login`, or None for that or HF_TOKEN if present.
        local_files_only: Whether to use only files that are in the cache.
    """

    revision: str | None = None
    token: str | bool | None = None
    local_files_only: bool = False


def is_hub_name(source: str) -> bool:
    """Return whether a text can be the name of a model on the hub, and not a path."""
    return _NAME.fullmatch(source) is not None and not source.lower().endswith(_FILE_SUFFIXES)


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
        ModelFileError: The model does not exist, cannot be accessed, or has no weights in a supported format.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    repo, reason = repository(name), "downloads are turned off"
    try:
        if not (options.local_files_only or constants.HF_HUB_OFFLINE):
            return _fetch(repo, options, cache_dir, onnx=onnx)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelFileError(_refusal(repo, name, error)) from None
    except ModelFileError:
        raise
    except Exception as error:  # Each version of huggingface_hub has its own errors for a missing connection.
        reason = _one_line(error)
    if (cached := _cached(repo, options, cache_dir)) is not None:
        return cached
    raise ModelFileError(
        f"{name!r} is not a folder, and {repo} cannot be downloaded from the Hugging Face hub ({reason}), nor is it in"
        " the hub's cache. Check the connection, or pass the folder of a downloaded model."
    )


def _fetch(repo: str, options: HubOptions, cache_dir: str | Path | None, *, onnx: bool) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if silenced():
        disable_progress_bars()
    # This request is short, because without a connection snapshot_download takes long to fail.
    timeout = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", "3"))
    info = HfApi(token=options.token).model_info(repo, revision=options.revision, timeout=timeout)
    names = needed_files([file.rfilename for file in info.siblings or []], repo, onnx=onnx)
    folder = snapshot_download(
        repo,
        # The name of the revision, not its commit, so that the cache knows the name without a connection.
        revision=options.revision,
        # These names are patterns, in which brackets have a meaning.
        allow_patterns=[re.sub(r"([\[*?])", r"[\1]", one) for one in names],
        token=options.token,
        cache_dir=cache_dir,
    )
    if missing := [one for one in names if not (Path(folder) / one).is_file()]:
        raise OSError(f"{missing[0]} was not downloaded")
    return Path(folder)


def _cached(repo: str, options: HubOptions, cache_dir: str | Path | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "modules.json"):
        found = try_to_load_from_cache(repo, name, revision=options.revision, cache_dir=cache_dir)
        # An interrupted download leaves a folder without weights.
        if isinstance(found, str) and (has_safetensors(folder := Path(found).parent) or _graph(folder)):
            return folder
    return None


def needed_files(names: Collection[str], repo: str, *, onnx: bool = False) -> list[str]:
    """Return the files of a repository that loading its model needs.

    Args:
        names: All files of the repository.
        repo: Its owner and name, for messages.
        onnx: Whether the ONNX file is needed instead of safetensors.

    Raises:
        ModelFileError: The repository has no weights in a supported format.
    """
    weights = [] if onnx else [name for name in names if _SAFETENSORS.fullmatch(name)]
    if not weights and (graph := next((name for name in _ONNX if name in names), None)):
        # Large graphs keep their weights in a second file.
        weights = [name for name in names if name == graph or name in (f"{graph}_data", f"{graph}.data")]
    if not weights:
        others = [name for name in names if name.endswith((".bin", ".pt", ".gguf", ".h5", ".msgpack", ".ckpt"))]
        wanted = "ONNX file" if onnx else "model.safetensors or onnx/model.onnx"
        raise ModelFileError(
            f"{repo} has no {wanted}; its weights are {', '.join(sorted(others)[:5]) or 'missing'}. Load it with"
            " sentence-transformers and save_pretrained, and pass the new folder."
        )
    settings = [name for name in names if name in _SETTINGS or _MODULE.fullmatch(name)]
    return sorted({*settings, *weights})


@contextlib.contextmanager
def onnx_copy(folder: Path) -> Iterator[Path]:
    """Yield the ONNX file of a downloaded model, in a temporary copy of its folder.

    The hub's cache consists of links, and the converter follows no links.

    Raises:
        ModelFileError: The folder has no ONNX file.
    """
    graph = _graph(folder)
    if graph is None:
        raise ModelFileError(f"{folder} has no {' or '.join(_ONNX)}.")
    with tempfile.TemporaryDirectory(prefix="minilm-jax-") as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
        yield Path(copy) / graph


def converted(folder: Path, target: Path) -> Path:
    """Return the folder of a model that the hub has as ONNX only; the first call converts it.

    Args:
        folder: The downloaded model.
        target: The folder for the converted model.

    Raises:
        ConversionError: The graph cannot be converted.
    """
    from filelock import FileLock

    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if not (target / "conversion.json").exists():
            with onnx_copy(folder) as graph:
                import_converter("pipeline").convert_to_folder(graph, target)
    return target


def _graph(folder: Path) -> str | None:
    return next((name for name in _ONNX if (folder / name).is_file()), None)


def has_safetensors(folder: Path) -> bool:
    """Return whether a downloaded model has weights as safetensors."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors*"))
    return any(_SAFETENSORS.fullmatch(name) for name in names)


def _refusal(repo: str, name: str, error: Exception) -> str:
    """Return the message for a request that the hub refused."""
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return f"{repo} is gated: accept its conditions on the hub, and pass token=… or run `hf auth login`."
    if kind == "RevisionNotFoundError":
        return f"{repo} has no such revision on the hub. Pass a branch, a tag or a commit."
    return (
        f"{name!r} is neither a folder nor a model on the Hugging Face hub ({repo}).{_correction(name)} If it is"
        " a private model, pass token=… or run `hf auth login`."
    )


def _correction(name: str) -> str:
    known = "all-minilm-l6-v2"
    given = name.lower().rpartition("/")[2]
    is_near = given != known and difflib.SequenceMatcher(None, given, known).ratio() >= _SIMILAR
    return f" Did you mean {known!r}?" * is_near


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0][:200]
