"""Base of `minilm-jax` and `python -m convert`: exit codes, --debug and --quiet."""

import contextlib
import functools
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from minilm_jax.cli import signals, streams
from minilm_jax.errors import MinilmJaxError

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class CommandGroup(click.Group):
    """Group of commands with these exit codes: 1 failed job, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Add --debug to the options of the group."""
        super().__init__(*args, **kwargs)
        self.params.append(click.Option(["--debug"], is_flag=True, help="Show the full traceback of an error."))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line of this process or the given arguments."""
        streams.prepare()
        return super().main(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        """Show the help if there are no arguments, with exit code 0."""
        given = [*args]
        with _errors_as_exit_codes(ctx), self._hints_about_options(ctx, given):
            return super().parse_args(ctx, given or ["--help"])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn its errors and signals into exit codes."""
        # Imports and traces create about a million long-lived objects, which frequent garbage collections would scan
        # again.
        gc.set_threshold(100_000, 20, 20)
        try:
            with _errors_as_exit_codes(ctx), self._hints_about_options(ctx, []), signals.raised_as_exceptions():
                return super().invoke(ctx)
        finally:
            gc.freeze()  # Otherwise Python scans all objects once more when it exits.

    @contextlib.contextmanager
    def _hints_about_options(self, ctx: click.Context, arguments: Sequence[str]) -> Iterator[None]:
        """Add to the error about an unknown option where that option belongs."""
        try:
            yield
        except click.NoSuchOption as error:
            if hint := self._right_place(ctx, error, arguments):
                message = f"No such option {error.option_name!r} here. {hint}"
                raise click.NoSuchOption(error.option_name, message, ctx=error.ctx) from None
            raise

    def _right_place(self, ctx: click.Context, error: click.NoSuchOption, arguments: Sequence[str]) -> str | None:
        option, path = error.option_name, ctx.command_path
        owners = [name for name in self.list_commands(ctx) if _has_option(self.commands[name], option)]
        if _has_option(self, option):
            assert error.ctx is not None
            return f"Write it before the command: {path} {option} {error.ctx.command.name}"
        if not owners:
            return None
        if error.ctx is ctx:
            command = next((word for word in arguments if word in owners), "COMMAND")
            return f"Write it after the command: {path} {command} {option}"
        return f"It is an option of {', '.join(owners)}."


def _has_option(command: click.Command, name: str) -> bool:
    return any(name in (*param.opts, *param.secondary_opts) for param in command.params)


@contextlib.contextmanager
def _errors_as_exit_codes(ctx: click.Context) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        ctx.exit(130)
    except BrokenPipeError:
        raise  # click then exits with code 1 and prints nothing.
    except (MinilmJaxError, OSError) as error:
        if ctx.params.get("debug"):
            raise
        click.echo(f"error: {error}", err=True)
        ctx.exit(1)


def quiet_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --quiet to a command, which hides progress bars and warnings."""
    help = "Print only results and errors: no progress bars, no warnings."
    return click.option("--quiet", "-q", is_flag=True, expose_value=False, callback=_silence, help=help)(command)


def _silence(ctx: click.Context, _: click.Parameter, quiet: bool) -> None:
    log = logging.getLogger("minilm_jax")
    if quiet:
        ctx.call_on_close(functools.partial(log.setLevel, log.level))
        log.setLevel(logging.ERROR)
