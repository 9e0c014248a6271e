"""The `minilm-jax bench` command."""

import click

from minilm_jax.cli import bench_processes, model_command
from minilm_jax.cli.command_group import quiet_option
from minilm_jax.cli.streams import check_stdout

_HEADER = ("precision", "texts × tokens", "tokens/s", "texts/s", "ms per call", "of the ceiling")
_ROW = "{:<10} {:>14} {:>10} {:>9} {:>12} {:>15}"
_PROCESS_HEADER = ("precision", "short texts", "first run", "second run")
_PROCESS_ROW = "{:<10} {:>14} {:>10} {:>11}"


@click.command()
@model_command.model_options
@quiet_option
def bench(model: str, revision: str | None) -> None:
    """Measure how fast this machine embeds, in each precision.

    \b
      minilm-jax bench                    all-MiniLM-L6-v2
      minilm-jax bench --model DIR        your own model

    Takes a few minutes, mostly for compilation. Higher is better for tokens/s and texts/s. The ceiling is the speed
    that the matrix multiplications alone would reach, at the rate of the largest one, measured in the same run.

    The second table has the seconds of whole processes, `minilm-jax embed --file FILE`, from their start to their exit.
    The first run starts without stored programs and compiles; the second run loads what the first one stored.
    """
    check_stdout()
    import jax

    from minilm_jax.runtime.speed import measure
    from minilm_jax.sentence_encoder import SentenceEncoder

    encoder = SentenceEncoder.from_pretrained(model, revision=revision)
    click.echo(f"{jax.devices()[0].device_kind}, {jax.device_count()} device(s), jax {jax.__version__}\n")
    click.echo(_ROW.format(*_HEADER))
    for speed in measure(encoder.params, encoder.config):
        shape = " × ".join(map(str, speed.shape))
        rates = (f"{speed.tokens_per_second:,.0f}", f"{speed.texts_per_second:,.0f}", f"{1e3 * speed.seconds:.1f}")
        click.echo(_ROW.format(speed.precision, shape, *rates, f"{speed.ceiling:.0%}"))
    click.echo(f"\n{_PROCESS_ROW.format(*_PROCESS_HEADER)}")
    for runs in bench_processes.measure(model, revision):
        times = (f"{runs.first:.1f} s", f"{runs.second:.1f} s")
        click.echo(_PROCESS_ROW.format(runs.precision, f"{runs.texts:,}", *times))
