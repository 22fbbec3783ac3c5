"""The command line as Typer reads it: help in one style, and usage errors as JSON with `--json`."""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from kedja_cli.errors import CommandError, Exit
from kedja_cli.output import Output

_WrongCommandLine: type[Exception] = typer.BadParameter.__bases__[0]
"""UsageError, which has no public name in Typer."""


def storage_option(help_text: str) -> Any:  # noqa: ANN401 - as Typer's own
    """Return the option that names the storage account."""
    return typer.Option(envvar="KEDJA_STORAGE", show_default=False, metavar="ACCOUNT", help=help_text)


def _simplify_help(parameters: Sequence[Any]) -> None:
    """Name the value of each parameter by one word in capitals in help, and of flags by none."""
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
    """A command whose help shows no Python types."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - a type that has no public name in Typer
        """Return the parameters, with one word for the value of each."""
        parameters = list(super().get_params(ctx))
        _simplify_help(parameters)
        return parameters


class PlainGroup(TyperGroup):
    """A group of commands whose help shows no Python types."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - as above
        """Return the parameters, with one word for the value of each."""
        parameters = list(super().get_params(ctx))
        _simplify_help(parameters)
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
        """Run a command. With `--json`, report a usage error as JSON, like any other error."""
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
            Output(as_json=True).error(CommandError(words_of(), code=Exit.USAGE))
            sys.exit(Exit.USAGE)
        if as_json:
            sys.exit(done or 0)
        return done
