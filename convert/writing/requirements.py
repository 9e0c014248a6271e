"""Check what a conversion needs before it starts, and collect the warnings about its result."""

from pathlib import Path

from convert.onnx_to_flax import Conversion
from convert.verification.graph_process import choose_runtime
from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.checkpoints.folder_config import has_default_sizes, read_json
from minilm_jax.config import EncoderConfig
from minilm_jax.errors import ConversionError


def check_requirements(config: EncoderConfig, *, trusted: bool, has_tokenizer: bool) -> None:
    """Raise one error for everything that is missing.

    Args:
        config: The sizes of the encoder.
        trusted: Whether the graph is known to be harmless.
        has_tokenizer: Whether a tokenizer was passed or found.

    Raises:
        ConversionError: The runtime or the tokenizer is missing, or both.
    """
    missing = []
    try:
        choose_runtime(trusted=trusted)
    except ConversionError as error:
        missing.append(str(error))
    if not has_tokenizer and not has_default_sizes(config):
        missing.append(
            f"its folder has no tokenizer.json, and its sizes are not those of {DEFAULT_MODEL}; pass the folder of its"
            " tokenizer and pooling configuration with --tokenizer."
        )
    if missing:
        raise ConversionError(" Also, ".join(missing))


def warnings_of(conversion: Conversion, file: Path, tokenizer: Path) -> list[str]:
    """Return one sentence for each output that is not converted, and for a graph that takes only short texts.

    Args:
        conversion: The converted graph.
        file: The ONNX file.
        tokenizer: The folder of the tokenizer.

    Returns:
        The warnings.

    Raises:
        ModelFileError: A `config.json` is damaged.
    """
    shortened = _shortened(conversion.config, file, tokenizer)
    return [*conversion.not_converted, *([shortened] if shortened else [])]


def _shortened(config: EncoderConfig, file: Path, tokenizer: Path) -> str | None:
    for folder in dict.fromkeys((file.parent, file.parent.parent, tokenizer)):
        path = folder / "config.json"
        stated = read_json(path, dict).get("max_position_embeddings") if path.is_file() else None
        if isinstance(stated, int) and stated > config.max_position_embeddings:
            return (
                f"the longest text is {config.max_length} tokens, although config.json states {stated} positions;"
                " export the graph again with a dynamic length."
            )
    return None
