"""Base of `minilm-jax` and `python -m convert`: exit codes, --debug, --compilation-cache and --quiet."""

import functools
import gc
import logging
from collections.abc import Callable, Sequence
from typing import Any

import click

from minilm_jax.cli import signals
from minilm_jax.errors import MinilmJaxError

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_CACHE_HELP = "Keep compiled programs on disk, which saves a second or more at each start.  [default: on]"


class CommandGroup(click.Group):
    """Group of commands with these exit codes: 1 failed job, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Add --debug and --compilation-cache to the options of the group."""
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(["--debug"], is_flag=True, help="Show the full traceback of an error."),
            click.Option(["--compilation-cache/--no-compilation-cache"], default=True, help=_CACHE_HELP),
        ]

    def parse_args(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        """Show the help if there are no arguments, with exit code 0."""
        return super().parse_args(ctx, [*args] or ["--help"])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn its errors and signals into exit codes."""
        # Imports and traces create about a million long-lived objects, which frequent garbage collections would scan
        # again.
        gc.set_threshold(100_000, 20, 20)
        try:
            with signals.raised_as_exceptions():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)
        except BrokenPipeError:
            raise  # click then exits with code 1 and prints nothing.
        except (MinilmJaxError, OSError) as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)
        finally:
            gc.freeze()  # Otherwise Python scans all objects once more when it exits.


def quiet_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --quiet to a command, which hides progress bars and warnings."""
    help = "Print only results and errors: no progress bars, no warnings."
    return click.option("--quiet", "-q", is_flag=True, expose_value=False, callback=_silence, help=help)(command)


def _silence(ctx: click.Context, _: click.Parameter, quiet: bool) -> None:
    log = logging.getLogger("minilm_jax")
    if quiet:
        ctx.call_on_close(functools.partial(log.setLevel, log.level))
        log.setLevel(logging.ERROR)
