"""Try thousands of damaged ONNX files; the converter may raise only errors of minilm_jax for them."""

from pathlib import Path

import click


@click.command(help=__doc__)
@click.option("--count", default=10_000, show_default=True, help="Number of mutations.")
@click.option("--start", default=0, show_default=True, help="Number of the first mutation.")
@click.option("--all", "every", is_flag=True, help="Continue after a failure; show one per line of code.")
@click.option(
    "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Examine a single file."
)
@click.option("--coverage", "seconds", type=int, help="Let atheris choose the mutations for this many seconds.")
def main(count: int, start: int, every: bool, path: Path | None, seconds: int | None) -> None:
    """Run one mode of the fuzzer; its modules are imported here, because atheris must instrument them."""
    if seconds is not None:
        from tests.convert.fuzz.coverage import fuzz

        fuzz(seconds)
    elif path is not None:
        from tests.convert.fuzz.target import examine

        examine(path.read_bytes())
    else:
        _run(count, start, every)


def _run(count: int, start: int, every: bool) -> None:
    from tests.convert.fuzz.runner import failures

    places: dict[str, int] = {}
    for failure in failures(count, start):
        places[failure.place] = places.get(failure.place, 0) + 1
        if places[failure.place] == 1:
            click.echo(failure.report())
        if not every:
            raise SystemExit(1)
    click.echo(f"{count:,} mutations, {sum(places.values()):,} failures at {len(places)} places")
    raise SystemExit(bool(places))


if __name__ == "__main__":
    main()
