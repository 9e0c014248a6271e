"""Error messages for models that the hub does not have, refuses, or cannot deliver. No message contains a token."""

import difflib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from minilm_jax.checkpoints.hub_files import GRAPHS, weight_files
from minilm_jax.checkpoints.unsupported_files import remedy_for

_DEFAULT_MODEL = "all-minilm-l6-v2"
# Above this similarity, a name that the hub does not know is taken for a misspelling of the default model.
_SIMILAR = 0.93
_LOG_IN = "pass token=… or run `hf auth login`"
# Messages of huggingface_hub may contain the token, or the password of a mirror.
_SECRETS = re.compile(r"Bearer [^\s'\"]+|(?<=//)[^/\s@]+(?=@)|hf_\w+")
_MAX_REASON = 200


def refused(name: str, repo: str, revision: str | None, error: Exception) -> str:
    """Return the message for a request that the hub refused.

    Args:
        name: The name of the model, as given.
        repo: Its repository.
        revision: The requested revision.
        error: The error of huggingface_hub.
    """
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return f"{repo} is gated: accept its conditions on the hub, and {_LOG_IN} with the same account."
    if kind == "RevisionNotFoundError":
        return f"{repo} has no revision {revision!r} on the hub; pass a branch, a tag or a commit."
    return (
        f"{name!r} is neither a folder nor a model on the Hugging Face hub ({repo}).{_correction(name)} If it is"
        f" a private model, {_LOG_IN}."
    )


def turned_off(name: str, repo: str, revision: str | None, switch: str) -> str:
    """Return the message for a model that is not in the hub's cache while `switch` turns downloads off."""
    return (
        f"{name!r} is not a folder, {repo} is not in the hub's cache, and downloads are turned off by {switch}. Turn"
        f" them on, or {_by_hand(repo, revision)}"
    )


def not_reached(name: str, repo: str, revision: str | None, error: Exception, token: str | bool | None) -> str:
    """Return the message for a download that failed."""
    if getattr(getattr(error, "response", None), "status_code", None) == 401:
        return f"{repo}: the hub rejects the access token; change HF_TOKEN, or {_LOG_IN}."
    return (
        f"{name!r} is not a folder, and {repo} cannot be downloaded from the Hugging Face hub"
        f" ({_reason(error, token)}), nor is it in the hub's cache. Check the connection, or"
        f" {_by_hand(repo, revision)}"
    )


def no_weights(repo: str, names: Collection[str], folders: Sequence[str], *, onnx: bool) -> str:
    """Return the message for a repository without weights in a supported format.

    Args:
        repo: The repository.
        names: All its files.
        folders: The folders of its modules.
        onnx: Whether the ONNX file was needed instead of safetensors.
    """
    if onnx and weight_files(names, folders):
        return f"{repo} has no ONNX file, but safetensors; run `python -m convert safetensors_to_flax {repo}`."
    wanted = " or ".join((*("model.safetensors",) * (not onnx), *GRAPHS))
    if graphs := sorted(name for name in names if name.endswith(".onnx")):
        steps = f"`hf download {repo} --local-dir DIR` and `python -m convert onnx_to_flax DIR/{graphs[0]} --out NEW`"
        return f"{repo} has no {wanted}, but {graphs[0]}; run {steps}, and pass NEW."
    others = ((name, remedy_for(Path(name))) for name in sorted(names))
    found = next((f"{name}, {remedy}" for name, remedy in others if remedy), "no file with weights")
    return f"{repo} has no {wanted}; it has {found}."


def _correction(name: str) -> str:
    given = name.lower().rpartition("/")[2]
    ratio = difflib.SequenceMatcher(None, given, _DEFAULT_MODEL).ratio()
    return f" Did you mean {_DEFAULT_MODEL!r}?" * (_SIMILAR <= ratio < 1)


def _reason(error: Exception, token: str | bool | None) -> str:
    reason = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    if isinstance(token, str) and token.strip():
        reason = reason.replace(token.strip(), "…")
    return _SECRETS.sub("…", reason)[:_MAX_REASON]


def _by_hand(repo: str, revision: str | None) -> str:
    command = f"hf download {repo}{f' --revision {revision}' if revision else ''} --local-dir DIR"
    return f"run `{command}` on a machine with a connection, and pass DIR as the model."
