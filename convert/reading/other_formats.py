"""Recognize files in other formats that are passed as ONNX files, by their first bytes."""

from minilm_jax.errors import ConversionError

HEAD_BYTES = 512

_SAVE = "Save the model as safetensors with save_pretrained and run python -m convert safetensors_to_flax on its folder"
_FIRST_BYTES: tuple[tuple[bytes, str], ...] = (
    (b"GGUF", f"this is a GGUF file, the format of llama.cpp, which is not supported. {_SAVE}."),
    (b"PK\x03\x04", f"this is a zip archive, such as a .pt or .bin file of PyTorch, which may run code. {_SAVE}."),
    (
        b"version https://git-lfs",
        "this is a Git LFS pointer, not the file itself. Run git lfs pull in its repository.",
    ),
    (b"\x89HDF", f"this is an HDF5 file, such as a model of Keras. {_SAVE}."),
    (b"\x1f\x8b", "this is a gzip archive. Unpack it with gzip -d."),
)
_PICKLE = f"this is a pickle, such as a .bin file of PyTorch, which may run code. {_SAVE}."
_SAFETENSORS = "this is a safetensors file. Run python -m convert safetensors_to_flax on its folder."
_WEB_PAGE = "this is a web page, not a model. Download the file again, for example with hf download."
_TFLITE = f"this is a TensorFlow Lite file, which is not supported. {_SAVE}."
_PICKLE_VERSIONS = range(2, 6)


def check_format(head: bytes) -> None:
    """Raise ConversionError for a file in another format that is recognized.

    Args:
        head: The first `HEAD_BYTES` bytes of a file, or all of them if it has fewer.
    """
    if (message := _message(head)) is not None:
        raise ConversionError(message)


def _message(head: bytes) -> str | None:
    for first, message in _FIRST_BYTES:
        if head.startswith(first):
            return message
    if head[:1] == b"\x80" and head[1:2] and head[1] in _PICKLE_VERSIONS:
        return _PICKLE
    # A safetensors file starts with the length of its header, 8 bytes, and the header, a JSON object.
    if head[8:10] in (b'{"', b"{}", b"{ ") and not any(head[4:8]):
        return _SAFETENSORS
    if head[4:8] == b"TFL3":
        return _TFLITE
    text = head.lstrip().lower()
    return _WEB_PAGE if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")) else None
