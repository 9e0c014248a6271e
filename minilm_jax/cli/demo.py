"""The `minilm-jax demo` command: from an ONNX file to sentence similarities, with the time of each step."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import click
import jax
import numpy as np
from numpy.typing import NDArray

from minilm_jax import __version__
from minilm_jax.checkpoints.cache import cache_folder
from minilm_jax.checkpoints.sources import sha256_of
from minilm_jax.cli.terminal import render_matrix
from minilm_jax.converter import import_converter
from minilm_jax.nn.encoder import EncoderOutput, encode
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.tokens.batching import Batch

_TEXT = "Hello world"
# These are the token ids of that text: [CLS] hello world [SEP].
_BATCH = Batch(np.array([[101, 7592, 2088, 102]]), np.ones((1, 4), np.int32))
_SENTENCES = (
    "A man is playing a guitar on stage.",
    "Someone performs music for an audience.",
    "The cat sleeps on the warm windowsill.",
    "A kitten is napping in the sun.",
    "Interest rates were raised by the central bank.",
    "Borrowing money has become more expensive.",
)


def run() -> None:
    """Download the model, convert it, run it, and print its outputs.

    Raises:
        MinilmJaxError: A step failed; the message names the fix.
    """
    with _step("download the ONNX file of all-MiniLM-L6-v2"):
        model = import_converter("default_model").default_onnx_file()
    with _step("convert it to Flax params and verify them against the ONNX graph"):
        folder = _converted(model)
    with _step("load params and tokenizer"):
        encoder = SentenceEncoder.from_pretrained(folder)
    with _step("compile and run one forward pass"):
        output = jax.block_until_ready(jax.jit(encode)(encoder.params, _BATCH, encoder.config))
    with _step(f"embed “{_TEXT}” and {len(_SENTENCES)} sentences"):
        vectors = encoder.encode([_TEXT, *_SENTENCES])
    _show_outputs(output, vectors[:1])
    _show_neighbors(vectors[1:] @ vectors[1:].T)


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    start = time.perf_counter()
    click.echo(f"{name} … ", nl=False)
    yield
    click.echo(f"{time.perf_counter() - start:.1f} s")


def _converted(model: Path) -> Path:
    """Return the folder of the converted model; convert it only if the file or minilm-jax changed since."""
    folder = cache_folder() / f"{model.stem}-flax"
    record = import_converter("writing.converted_folder").read_record(folder)
    if record is None or (record["source"]["sha256"], record["versions"]["minilm-jax"]) != (
        sha256_of(model),
        __version__,
    ):
        import_converter("pipeline").convert_to_folder(out=folder)
    return folder


def _show_outputs(output: EncoderOutput, embedding: NDArray[np.float32]) -> None:
    assert output.pooler_output is not None
    click.echo(f"\nForward pass over the token ids of “{_TEXT}”, {_BATCH.input_ids[0].tolist()}:")
    click.echo(f"  input_ids           shape {list(_BATCH.input_ids.shape)}")
    click.echo(f"  last_hidden_state   shape {list(output.last_hidden_state.shape)}, one vector per token")
    _show_vector("pooler_output", np.asarray(output.pooler_output), "from [CLS] only; not trained to compare sentences")
    _show_vector("sentence embedding", embedding, "the mean of last_hidden_state, scaled to unit length")


def _show_vector(name: str, vector: NDArray[np.float32], about: str) -> None:
    click.echo(f"  {name:<19} shape {list(vector.shape)}, {about}")
    click.echo(f"    first ten values  {' '.join(f'{value:.6f}' for value in vector[0, :10])}")
    click.echo(f"    L2 norm           {np.linalg.norm(vector):.6f}")


def _show_neighbors(similarity: NDArray[np.float32]) -> None:
    click.echo("\nEach sentence and its nearest neighbor:")
    for index, row in enumerate(similarity):
        nearest = int(np.argsort(row)[-2])
        click.echo(f"  {_SENTENCES[index]}\n    {row[nearest]:.2f}  {_SENTENCES[nearest]}")
    click.echo("\nCosine similarity:")
    click.echo(render_matrix(_SENTENCES, similarity))
