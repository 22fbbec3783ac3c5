"""The command line as Typer reads it: help in one style, and a wrong command line as JSON where that was asked for."""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from kedja_cli.errors import CommandError, Exit
from kedja_cli.output import Screen

_WrongCommandLine: type[Exception] = typer.BadParameter.__bases__[0]
"""UsageError, which Typer gives no public name."""


def storage_option(told: str) -> Any:  # noqa: ANN401 - as Typer's own
    """Return the option that names the storage account; `told` is its help."""
    return typer.Option(envvar="KEDJA_STORAGE", show_default=False, metavar="ACCOUNT", help=told)


def _plain(parameters: Sequence[Any]) -> None:
    """Give each parameter one word for its value in help, in capitals, and flags none."""
    for one in parameters:
        if one.param_type_name == "argument":
            one.metavar = one.metavar or one.name.upper()
            one.display_type_rich = _no_type
        elif one.is_flag:
            one.metavar = ""
        else:
            one.metavar = one.metavar or one.name.upper()


def _no_type(ctx: object) -> str:  # noqa: ARG001 - as Typer calls it
    return ""


class PlainCommand(TyperCommand):
    """A command whose help shows no types of Python's."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - a type of Typer's own, without a public name
        parameters = list(super().get_params(ctx))
        _plain(parameters)
        return parameters


class PlainGroup(TyperGroup):
    """The same for a group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - as above
        parameters = list(super().get_params(ctx))
        _plain(parameters)
        return parameters

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - as Typer has it
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - as above
        **extra: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Run a command. With `--json` a wrong command line is told as any other error is."""
        words = sys.argv[1:] if args is None else list(args)
        as_json = standalone_mode and "--json" in words
        try:
            done = super().main(
                args, prog_name, complete_var, standalone_mode and not as_json, windows_expand_args, **extra
            )
        except _WrongCommandLine as error:
            if not as_json:
                raise
            words_of = getattr(error, "format_message", error.__str__)
            Screen(as_json=True).error(CommandError(words_of(), code=Exit.USAGE))
            sys.exit(Exit.USAGE)
        if as_json:
            sys.exit(done or 0)
        return done
