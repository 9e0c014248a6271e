"""`embed` as a StableHLO program in a file, which jax alone runs, and back from there.

The file begins with what `jax.export` writes. Its last line is a record of where it comes from, in JSON: jax reads from
the front and never meets it.
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
from minilm_jax.errors import InputError, ModelFileError, did_you_mean
from minilm_jax.fingerprint import fingerprint
from minilm_jax.nn.embedding import embed
from minilm_jax.nn.params import flatten, unflatten
from minilm_jax.tokens.batching import Batch

if TYPE_CHECKING:
    from minilm_jax.pretrained import PretrainedModel

PLATFORMS: tuple[Platform, ...] = get_args(Platform)

# What a precision is known by: everything else has the same type in several of them.
_TELLING = "encoder.layer.0.intermediate.dense.kernel"


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """A program out of a file: token ids in, sentence embeddings out.

    Attributes:
        about: What its file says of it: `model`, the fingerprint of the model that it is from; `precision`;
            `platforms`; `max_seq_length`, where that model cuts texts; `longest`, the most tokens a row; `jax`, the
            version that wrote it.
    """

    about: Mapping[str, Any]
    _program: Callable[[Array, Array], Array] = dataclasses.field(repr=False)

    def __call__(self, input_ids: ArrayLike | Batch, attention_mask: ArrayLike | None = None) -> Array:
        """Embeds a batch; each new shape is compiled once.

        Args:
            input_ids: int[B, T], or a whole `Batch` without token types other than 0.
            attention_mask: int or bool[B, T], nonzero at real tokens.

        Returns:
            float32[B, D].

        Raises:
            InputError: The shapes are not [B, T], are not equal, or are larger or smaller than the program takes.
        """
        batch = input_ids if isinstance(input_ids, Batch) else Batch(input_ids, attention_mask)
        shape, longest = jnp.shape(batch.input_ids), self.about["longest"]
        if batch.attention_mask is None or jnp.shape(batch.attention_mask) != shape:
            raise InputError(f"input_ids has shape {shape}; attention_mask must be given and have the same.")
        if len(shape) != 2 or not shape[0] or not 1 <= shape[1] <= longest:
            raise InputError(f"input_ids has shape {shape}; it must be [B, T] with 1 to {longest} tokens a row.")
        if batch.token_type_ids is not None and np.any(batch.token_type_ids):
            raise InputError("token_type_ids are not all 0; an exported program takes no others.")
        return self._program(*(jnp.asarray(x, jnp.int32) for x in batch[:2]))


def save_exported(
    model: "PretrainedModel",
    path: str | Path,
    *,
    platforms: Sequence[str] = PLATFORMS,
    weights: WeightsPlace = "inside",
) -> None:
    """Writes `embed` of a model as a program for rows of any number and length.

    Args:
        model: Any model, in any precision.
        path: The file, replaced in one step.
        platforms: What it is to run on, of "cpu", "cuda", "rocm" and "tpu".
        weights: "inside", or "beside" in a file of the same name with `.safetensors` after it.

    Raises:
        InputError: There is no platform, or one that is unknown; or flatbuffers is not installed.
        OSError: A file cannot be written.
    """
    _need_flatbuffers()
    for platform in platforms or [""]:
        if platform not in PLATFORMS:
            near = did_you_mean(platform, PLATFORMS)
            raise InputError(f"platform is {platform!r}; it must be one of {', '.join(PLATFORMS)}.{near}")
    path = Path(path)
    leaves = {name: leaf for name, leaf in flatten(model.params).items() if not name.startswith("pooler.")}
    program = _lowered(leaves, model.config, platforms, weights).serialize()
    if weights == "beside":
        save_params(unflatten(leaves), _beside(path))
    about = {
        "model": fingerprint(model),
        "precision": leaves[_TELLING].dtype.name,
        "platforms": list(platforms),
        "max_seq_length": model.max_seq_length,
        "longest": model.config.max_position_embeddings,
        "jax": jax.__version__,
        "weights": hashlib.sha256(_beside(path).read_bytes()).hexdigest() if weights == "beside" else None,
        "program": hashlib.sha256(program).hexdigest(),
    }
    with atomic_write(path) as new:
        new.write_bytes(b"%b\n%b\n" % (program, json.dumps(about).encode()))


def load_exported(path: str | Path) -> ExportedModel:
    """Loads what `minilm-jax export` wrote. It is a program: load only what you trust.

    Args:
        path: The file; where its weights are beside it, they are loaded too.

    Returns:
        A function of `(input_ids, attention_mask)` or of a `Batch`.

    Raises:
        InputError: flatbuffers is not installed.
        ModelFileError: A file is missing or damaged, or it is none for the platform that jax computes on.
    """
    _need_flatbuffers()
    path = Path(path)
    try:
        program, about = _read(path)
        exported = export.deserialize(bytearray(program))
        weights = [] if about["weights"] is None else [_read_weights(_beside(path), about["weights"])]
    except Exception as error:  # Each reader raises errors of its own kind.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelFileError(
            f"{path} is missing, damaged or no exported model ({reason:.200}); export it again."
        ) from error
    here = jax.default_backend()
    if not {"gpu": {"cuda", "rocm"}}.get(here, {here}) & set(exported.platforms):
        raise ModelFileError(
            f"{path} is a program for {', '.join(exported.platforms)}, and jax computes on {here} here; export it with"
            " --platforms for both."
        )
    return ExportedModel(about, functools.partial(jax.jit(exported.call), *weights))


def _need_flatbuffers() -> None:
    # jax.export takes it to write and read files, and jax does not bring it.
    if importlib.util.find_spec("flatbuffers") is None:
        raise InputError("files of programs need flatbuffers: pip install 'minilm-jax[export]'")


def _lowered(
    leaves: Mapping[str, Array], config: EncoderConfig, platforms: Sequence[str], weights: WeightsPlace
) -> export.Exported:
    """Lowers a function of the leaves by their paths, ids and mask, or of the latter two alone."""

    def embed_beside(leaves: Mapping[str, Array], input_ids: Array, attention_mask: Array) -> Array:
        return embed(unflatten(leaves), Batch(input_ids, attention_mask), config)

    def embed_inside(input_ids: Array, attention_mask: Array) -> Array:
        return embed_beside(leaves, input_ids, attention_mask)

    shape = export.symbolic_shape("b, t", constraints=[f"t <= {config.max_position_embeddings}"])
    rows = jax.ShapeDtypeStruct(shape, jnp.int32)
    if weights == "inside":
        return export.export(jax.jit(embed_inside), platforms=platforms)(rows, rows)
    described = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in leaves.items()}
    return export.export(jax.jit(embed_beside), platforms=platforms)(described, rows, rows)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.safetensors")


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    program, _, line = path.read_bytes().rstrip(b"\n").rpartition(b"\n")
    about = json.loads(line)
    if about["program"] != hashlib.sha256(program).hexdigest():
        raise ValueError("it is not what was written")
    return program, about


def _read_weights(path: Path, sha256: str) -> dict[str, Array]:
    from safetensors.flax import load_file

    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"{path} is not what was written with it")
    return load_file(path)
