"""`minilm-jax bench`."""

import click

from minilm_jax.cli.command_group import quiet_option

_HEAD = ("precision", "texts × tokens", "tokens/s", "texts/s", "ms a call", "of the ceiling")
_ROW = "{:<10} {:>14} {:>10} {:>9} {:>10} {:>15}"


@click.command()
@click.option("--model", default="all-minilm-l6-v2", show_default=True, help="A name, or a folder.")
@quiet_option
def bench(model: str) -> None:
    """Measure this machine: how fast it embeds in each precision.

    \b
      minilm-jax bench                    all-MiniLM-L6-v2
      minilm-jax bench --model DIR        a model of your own

    Takes about a minute, much of it to compile. The ceiling is the rate of the layers' largest matrix multiplication,
    measured beside it.
    """
    import jax

    from minilm_jax.runtime.speed import measure
    from minilm_jax.sentence_encoder import SentenceEncoder

    encoder = SentenceEncoder.from_pretrained(model)
    click.echo(f"{jax.devices()[0].device_kind}, {jax.device_count()} device(s), jax {jax.__version__}\n")
    click.echo(_ROW.format(*_HEAD))
    for speed in measure(encoder.params, encoder.config):
        shape = " × ".join(map(str, speed.shape))
        rates = (f"{speed.tokens_per_second:,.0f}", f"{speed.texts_per_second:,.0f}", f"{1e3 * speed.seconds:.1f}")
        click.echo(_ROW.format(speed.precision, shape, *rates, f"{speed.ceiling:.0%}"))
