"""What `minilm-jax` and `python -m convert` have in common: failures become exit codes, and three options."""

import functools
import gc
import logging
from collections.abc import Callable, Sequence
from typing import Any

import click

from minilm_jax.cli import signals
from minilm_jax.errors import MinilmJaxError

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class CommandGroup(click.Group):
    """A group whose failures become exit codes: 1 a failed job, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Adds the options of every program to the group's own."""
        super().__init__(*args, **kwargs)
        cache_help = "Keep compiled programs on disk, which saves a second or more at every start.  [default: on]"
        self.params += [
            click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."),
            click.Option(["--compilation-cache/--no-compilation-cache"], default=True, help=cache_help),
        ]

    def parse_args(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        """Takes no arguments at all for a question, not for a mistake."""
        return super().parse_args(ctx, [*args] or ["--help"])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        # Importing and tracing make a million lasting objects, which Python would look through again and again.
        gc.set_threshold(100_000, 20, 20)
        try:
            with signals.raised_as_exceptions():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)
        except BrokenPipeError:
            raise  # click ends quietly, with 1.
        except (MinilmJaxError, OSError) as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)
        finally:
            gc.freeze()  # Else the last thing that Python does is to look through them once more.


def quiet_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --quiet to a command: no progress, no warnings."""
    help = "Say nothing but errors."
    return click.option("--quiet", "-q", is_flag=True, expose_value=False, callback=_silence, help=help)(command)


def _silence(ctx: click.Context, _: click.Parameter, quiet: bool) -> None:
    log = logging.getLogger("minilm_jax")
    if quiet:
        ctx.call_on_close(functools.partial(log.setLevel, log.level))
        log.setLevel(logging.ERROR)
