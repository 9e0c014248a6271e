"""Messages for model files in formats that are not read: what was found, and what helps."""

import shlex
from pathlib import Path

_SAVE_AGAIN = (
    "save the model as model.safetensors with sentence-transformers: `SentenceTransformer(MODEL).save_pretrained(DIR)`"
)
_PICKLE = f"a pickle, which can contain code and is never read; if you trust it, {_SAVE_AGAIN}"
_REMEDIES = {
    ".bin": _PICKLE,
    ".pt": _PICKLE,
    ".pth": _PICKLE,
    ".ckpt": _PICKLE,
    ".gguf": f"a GGUF file, which is for llama.cpp; download model.safetensors of the same model, or {_SAVE_AGAIN}",
    ".h5": f"TensorFlow weights; {_SAVE_AGAIN}",
}
# The first pattern that matches is the file to convert.
_GRAPHS = ("onnx/model.onnx", "model.onnx", "onnx/*.onnx", "*.onnx")


def remedy_for(path: Path) -> str | None:
    """Return what a file is and what helps, for a known format that is not read; None for any other file."""
    return _REMEDIES.get(path.suffix.lower())


def conversion_command(graph: Path) -> str:
    """Return the command that converts an ONNX file to a model folder."""
    return f"python -m convert onnx_to_flax {shlex.quote(str(graph))} --out DIR"


def explain_missing_weights(folder: Path) -> str:
    """Return what a folder without readable weights contains, and what helps.

    Args:
        folder: A model folder.

    Returns:
        One or two sentences, which follow the statement that weights are missing.
    """
    if steps := [path for path in folder.glob("*") if path.name.isdigit() and path.is_dir()]:
        step = max(steps, key=lambda path: int(path.name))
        item = next((path for path in sorted(step.iterdir()) if (path / "_METADATA").exists()), step / "default")
        return f"It contains the steps of an orbax CheckpointManager; pass one of them, such as {item}."
    if graph := next((path for pattern in _GRAPHS for path in sorted(folder.glob(pattern))), None):
        name = graph.relative_to(folder).as_posix()
        return f"It contains {name}; convert it with `{conversion_command(graph)}`, and pass DIR."
    for path in sorted((*folder.glob("*"), *folder.glob("0_Transformer/*"))):
        if (remedy := remedy_for(path)) is not None:
            return f"It contains {path.relative_to(folder).as_posix()}, {remedy}."
    return ""
