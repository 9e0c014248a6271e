"""Messages for model files in formats that are not read: what was found, and what helps."""

from pathlib import Path

_SAVE_AGAIN = "load the model with sentence-transformers and save_pretrained it, which writes model.safetensors"
_PICKLE = f"a pickle, which can contain code and is never read; {_SAVE_AGAIN}"
_REMEDIES = {
    ".bin": _PICKLE,
    ".pt": _PICKLE,
    ".pth": _PICKLE,
    ".ckpt": _PICKLE,
    ".gguf": f"a GGUF file, which is for llama.cpp; download model.safetensors of the same model, or {_SAVE_AGAIN}",
    ".h5": f"TensorFlow weights; {_SAVE_AGAIN}",
}
_GRAPHS = ("onnx/model.onnx", "model.onnx")


def remedy_for(path: Path) -> str | None:
    """Return what a file is and what helps, for a known format that is not read; None for any other file."""
    return _REMEDIES.get(path.suffix.lower())


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
    if graph := next((name for name in _GRAPHS if (folder / name).is_file()), None):
        command = f"python -m convert onnx_to_flax {folder / graph} --out DIR"
        return f"It contains {graph}; convert it with `{command}`, and pass DIR."
    for path in sorted(folder.glob("*")):
        if (remedy := remedy_for(path)) is not None:
            return f"It contains {path.name}, {remedy}."
    return ""
