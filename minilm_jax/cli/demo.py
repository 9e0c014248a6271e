"""`minilm-jax demo`: the whole way from an ONNX file to neighbours of sentences, each step said and timed."""

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

# "Hello world", as [CLS] hello world [SEP].
_HELLO_WORLD = Batch(np.array([[101, 7592, 2088, 102]]), np.ones((1, 4), np.int32))
_SENTENCES = (
    "A man is playing a guitar on stage.",
    "Someone performs music for an audience.",
    "The cat sleeps on the warm windowsill.",
    "A kitten is napping in the sun.",
    "Interest rates were raised by the central bank.",
    "Borrowing money has become more expensive.",
)


def run() -> None:
    """Obtains the model, converts it, and shows what it computes.

    Raises:
        MinilmJaxError: A step failed; the message says what to do.
    """
    with _step("obtain the ONNX file of all-MiniLM-L6-v2"):
        model = import_converter("default_model").default_onnx_file()
    with _step("convert it to Flax params, proved against its graph"):
        folder = _converted(model)
    with _step("load params and tokenizer"):
        encoder = SentenceEncoder.from_pretrained(folder)
    with _step("compile and run one forward pass"):
        output = jax.block_until_ready(jax.jit(encode)(encoder.params, _HELLO_WORLD, encoder.config))
    _show_forward(output)
    with _step(f"embed {len(_SENTENCES)} sentences"):
        vectors = encoder.encode(_SENTENCES)
    _show_neighbours(vectors @ vectors.T)


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    start = time.perf_counter()
    click.echo(f"{name} … ", nl=False)
    yield
    click.echo(f"{time.perf_counter() - start:.1f} s")


def _converted(model: Path) -> Path:
    folder = cache_folder() / f"{model.stem}-flax"
    record = import_converter("writing.converted_folder").read_record(folder)
    if record is None or (record["source"]["sha256"], record["versions"]["minilm-jax"]) != (
        sha256_of(model),
        __version__,
    ):
        import_converter("pipeline").convert_to_folder(out=folder)
    return folder


def _show_forward(output: EncoderOutput) -> None:
    assert output.pooler_output is not None
    pooled = np.asarray(output.pooler_output)
    click.echo("\nForward pass over the token ids of “Hello world”, [101, 7592, 2088, 102]:")
    click.echo(f"  input shape              {list(_HELLO_WORLD.input_ids.shape)}")
    click.echo(f"  last_hidden_state shape  {list(output.last_hidden_state.shape)}")
    click.echo(f"  pooler_output shape      {list(pooled.shape)}")
    click.echo(f"  first ten values         {' '.join(f'{value:.6f}' for value in pooled[0, :10])}")
    click.echo(f"  L2 norm                  {np.linalg.norm(pooled):.6f}\n")


def _show_neighbours(similarity: NDArray[np.float32]) -> None:
    click.echo("\nEach sentence and its nearest neighbour:")
    for index, row in enumerate(similarity):
        nearest = int(np.argsort(row)[-2])
        click.echo(f"  {_SENTENCES[index]}\n    {row[nearest]:.2f}  {_SENTENCES[nearest]}")
    click.echo("\nCosine similarity:")
    click.echo(render_matrix(_SENTENCES, similarity))
