"""A model as a StableHLO program in a file, which jax runs without this package.

The file contains the output of `jax.export`, followed by one line of JSON that describes it. jax reads from the start
and ignores that line.
"""

import dataclasses
import functools
import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, export
from jax.typing import ArrayLike

from minilm_jax.atomic_files import atomic_write
from minilm_jax.checkpoints.weights import save_params
from minilm_jax.config import EncoderConfig, Platform, WeightsPlace
from minilm_jax.errors import InputError, MissingPackageError, ModelFileError, did_you_mean
from minilm_jax.fingerprint import fingerprint
from minilm_jax.nn.heads import results_and_hidden_state
from minilm_jax.nn.inputs import token_ids
from minilm_jax.nn.params import flatten, unflatten
from minilm_jax.nn.settings import default_platform, device_use
from minilm_jax.tokens.batching import Batch

if TYPE_CHECKING:
    from minilm_jax.text_model import TextModel

PLATFORMS: tuple[Platform, ...] = get_args(Platform)

# The dtype of this leaf identifies the precision; other leaves have the same dtype in several precisions.
_PRECISION_LEAF = "encoder.layer.0.intermediate.dense.kernel"


@dataclasses.dataclass(frozen=True, eq=False)
class ExportedModel:
    """A program from a file: token ids to sentence vectors, to the logits of a classifier, or to sparse vectors.

    Attributes:
        about: The description in its file: `model`, the model's fingerprint; `result`, the function that the program
            computes, "embed", "classify" or "embed_sparse"; `labels`, those of a classifier; `precision`; `platforms`;
            `max_seq_length`, the length at which the model truncates texts; `longest`, the maximum tokens per row;
            `jax`, the version that wrote the file.
    """

    about: Mapping[str, Any]
    _program: Callable[[Array, Array, Array], Array] = dataclasses.field(repr=False)

    @device_use()
    def __call__(
        self,
        input_ids: ArrayLike | Batch,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
    ) -> Array:
        """Compute the result of each row of a batch; each new shape is compiled once.

        Args:
            input_ids: int[B, T], or a `Batch`.
            attention_mask: int or bool[B, T], nonzero at real tokens.
            token_type_ids: int[B, T]; by default zeros.

        Returns:
            float32[B, E], where E is the embedding size, the number of labels, or the size of the vocabulary.

        Raises:
            InputError: The shapes are not [B, T], are not equal, or exceed the limits of the program, or ids are not
            integers.
        """
        batch = input_ids if isinstance(input_ids, Batch) else Batch(input_ids, attention_mask, token_type_ids)
        shape, longest = jnp.shape(batch.input_ids), self.about["longest"]
        if batch.attention_mask is None or jnp.shape(batch.attention_mask) != shape:
            raise InputError(f"input_ids has shape {shape}; pass an attention_mask of the same shape.")
        if len(shape) != 2 or not shape[0] or not 1 <= shape[1] <= longest:
            raise InputError(f"input_ids has shape {shape}; it must be [B, T] with 1 to {longest} tokens per row.")
        types = np.zeros((1, 1), np.int32) if batch.token_type_ids is None else batch.token_type_ids
        if jnp.shape(types) not in (shape, (1, 1)):
            raise InputError(f"token_type_ids has shape {jnp.shape(types)}, input_ids {shape}; they must be equal.")
        ids, mask = token_ids("input_ids", batch.input_ids), jnp.asarray(batch.attention_mask).astype(bool)
        types = jnp.broadcast_to(token_ids("token_type_ids", types).astype(jnp.int32), shape)
        return self._program(ids.astype(jnp.int32), mask.astype(jnp.int32), types)


@device_use()
def save_exported(
    model: "TextModel",
    path: str | Path,
    *,
    platforms: Sequence[str] = PLATFORMS,
    weights: WeightsPlace = "inside",
) -> None:
    """Write `embed`, `classify` or `embed_sparse` of a model as a program for any number and length of rows.

    Args:
        model: A `SentenceEncoder`, `CrossEncoder` or `SparseEncoder` in any precision.
        path: The file, replaced in one step.
        platforms: The platforms to run on: "cpu", "cuda", "rocm" and "tpu".
        weights: "inside", or "beside" for a separate file with the same name plus `.safetensors`.

    Raises:
        InputError: platforms is empty or has an unknown one, or flatbuffers is not installed.
        OSError: A file cannot be written.
    """
    _check_flatbuffers()
    for platform in platforms or [""]:
        if platform not in PLATFORMS:
            near = did_you_mean(platform, PLATFORMS)
            raise InputError(f"platform is {platform!r}; it must be one of {', '.join(PLATFORMS)}.{near}")
    path = Path(path)
    classifier = model.config.classifier
    leaves = {
        name: leaf for name, leaf in flatten(model.params).items() if classifier or not name.startswith("pooler.")
    }
    program = _lowered(leaves, model.config, platforms, weights).serialize()
    if weights == "beside":
        save_params(unflatten(leaves), _weights_file(path))
    about = {
        "model": fingerprint(model),
        "result": "classify" if classifier else "embed_sparse" if model.config.sparse_head else "embed",
        "labels": list(classifier.labels) if classifier else None,
        "precision": leaves[_PRECISION_LEAF].dtype.name,
        "platforms": list(platforms),
        "max_seq_length": model.max_seq_length,
        "longest": model.config.max_length,
        "jax": jax.__version__,
        "weights": hashlib.sha256(_weights_file(path).read_bytes()).hexdigest() if weights == "beside" else None,
        "program": hashlib.sha256(program).hexdigest(),
    }
    with atomic_write(path) as new:
        new.write_bytes(b"%b\n%b\n" % (program, json.dumps(about).encode()))


@device_use()
def load_exported(path: str | Path) -> ExportedModel:
    """Load a program that `minilm-jax export` wrote. It is code: load only files that you trust.

    Args:
        path: The file; weights in a separate file are loaded too.

    Returns:
        A function of `(input_ids, attention_mask, token_type_ids)` or of a `Batch`.

    Raises:
        InputError: flatbuffers is not installed.
        ModelFileError: A file is missing or damaged, or was exported for other platforms than that of jax here.
    """
    _check_flatbuffers()
    path = Path(path)
    try:
        program, about = _read(path)
        exported = export.deserialize(bytearray(program))
        _ = about["result"]  # Earlier versions wrote programs without token types.
        weights = [] if about["weights"] is None else [_read_weights(_weights_file(path), about["weights"])]
    except Exception as error:  # Each reader raises its own types of errors.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelFileError(
            f"{path} is missing, damaged or not an exported model ({reason:.200}); export it again."
        ) from error
    here = default_platform()
    if not {"gpu": {"cuda", "rocm"}}.get(here, {here}) & set(exported.platforms):
        raise ModelFileError(
            f"{path} is a program for {', '.join(exported.platforms)}, but jax computes on {here} here; export it with"
            " --platforms for both."
        )
    return ExportedModel(about, functools.partial(jax.jit(exported.call), *weights))


def _check_flatbuffers() -> None:
    # jax.export needs flatbuffers to write files, but jax does not depend on it.
    if importlib.util.find_spec("flatbuffers") is None:
        raise MissingPackageError("program files need flatbuffers: pip install 'minilm-jax[export]'")


def _lowered(
    leaves: Mapping[str, Array], config: EncoderConfig, platforms: Sequence[str], weights: WeightsPlace
) -> export.Exported:
    """Lower a function of (ids, mask, types), with the leaves by path as first argument if they are separate."""

    def compute(leaves: Mapping[str, Array], *batch: Array) -> Array:
        return results_and_hidden_state(unflatten(leaves), Batch(*batch), config)[0]

    def compute_constant(*batch: Array) -> Array:
        return compute(leaves, *batch)

    shape = export.symbolic_shape("b, t", constraints=[f"t <= {config.max_length}"])
    rows = jax.ShapeDtypeStruct(shape, jnp.int32)
    if weights == "inside":
        return export.export(jax.jit(compute_constant), platforms=platforms)(rows, rows, rows)
    described = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in leaves.items()}
    return export.export(jax.jit(compute), platforms=platforms)(described, rows, rows, rows)


def _weights_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.safetensors")


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    program, _, line = path.read_bytes().rstrip(b"\n").rpartition(b"\n")
    about = json.loads(line)
    if about["program"] != hashlib.sha256(program).hexdigest():
        raise ValueError("its content has changed")
    return program, about


def _read_weights(path: Path, sha256: str) -> dict[str, Array]:
    from safetensors.flax import load_file

    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"{path} does not belong to it")
    return load_file(path)
