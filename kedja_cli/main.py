"""The command `kedja`. Each subcommand imports what it needs when it runs, so that `kedja --help` is fast."""

import logging
from typing import Annotated

import typer

import function_app
from kedja_cli.command_line import PlainCommand, PlainGroup
from kedja_cli.commands import compute, drop, experiment, file, job, key, model, predict, service

app = typer.Typer(
    name="kedja",
    cls=PlainGroup,
    help="Drop data or a Chainer script; get a trained, registered and announced model.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong command line, 3 not found, 4 not allowed, 5 the drop ended without a "
    "model, 6 timed out, 130 Ctrl-C. KEDJA_URL has the address of Kedja, and KEDJA_KEY the key of the caller.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (drop, experiment, job, model, predict, service, file):
    part.register(app)
app.add_typer(compute.app, name="compute", rich_help_panel=service.PANEL)
app.add_typer(key.app, name="keys", rich_help_panel=service.PANEL)
for one in (app, compute.app, key.app):
    for registered in one.registered_commands:
        registered.cls = PlainCommand
# azure-identity logs a long warning for each way to sign in that fails; the error that follows says what to do.
logging.getLogger("azure").addHandler(logging.NullHandler())


def _version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        typer.echo(f"kedja {function_app.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    _asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.", show_default=False)
    ] = False,
) -> None:
    """Drop data or a Chainer script; get a trained, registered and announced model."""
