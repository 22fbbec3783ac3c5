"""What all subcommands share: the service's address, the caller's key, `--json`, and the handling of errors."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from attrs import define, field

from kedja_cli.address import LOCAL, check_service
from kedja_cli.errors import CommandError, Exit
from kedja_cli.output import Output

if TYPE_CHECKING:
    from kedja_cli.service.api import Api


@define
class Session:
    """One run of the command. `key` is an API key of Kedja's."""

    url: str
    key: str | None = field(repr=False)
    output: Output
    _api: "Api | None" = field(default=None, init=False, repr=False)

    @property
    def api(self) -> "Api":
        """The service. The client is imported on first use, since some commands never use it.

        Raises:
            CommandError: If the address is invalid, or not safe to send credentials to.
        """
        if self._api is None:
            from kedja_cli.service.api import Api  # noqa: PLC0415 - takes as long to import as everything else

            check_service(self.url)
            self._api = Api(self.url, self.key, self.output.note)
        return self._api

    def close(self) -> None:
        """Close the connections, if there are any."""
        if self._api is not None:
            self._api.close()


_PANEL = "Common options"
_COMMON = {
    "url": Annotated[
        str,
        typer.Option(
            "--url",
            envvar="KEDJA_URL",
            show_envvar=True,
            help="The address of Kedja.",
            rich_help_panel=_PANEL,
            metavar="URL",
        ),
    ],
    "key": Annotated[
        str | None,
        typer.Option(
            "--key",
            envvar="KEDJA_KEY",
            show_envvar=True,
            show_default=False,
            metavar="KEY",
            rich_help_panel=_PANEL,
            help="An API key of Kedja. Better in the environment: other users of a machine can see command lines.",
        ),
    ],
    "as_json": Annotated[
        bool, typer.Option("--json", help="Print JSON and nothing else.", rich_help_panel=_PANEL, show_default=False)
    ],
}
_DEFAULTS = {"url": LOCAL, "key": None, "as_json": False}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function a subcommand: it takes a Session from the common options, and its errors become exit codes."""

    @functools.wraps(function)
    def run(*, url: str, key: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - the function's own
        output = Output(as_json)
        session = Session(url.rstrip("/"), key or None, output)
        try:
            function(session, **options)
        except CommandError as error:
            output.error(error)
            raise typer.Exit(error.code) from None
        except KeyboardInterrupt:
            output.note("stopped")
            raise typer.Exit(Exit.INTERRUPTED) from None
        except BrokenPipeError:  # `kedja jobs | head`: the reader has closed the pipe
            _silence_stdout()
        finally:
            session.close()

    keyword = inspect.Parameter.KEYWORD_ONLY
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = [
        inspect.Parameter(name, keyword, default=_DEFAULTS[name], annotation=annotation)
        for name, annotation in _COMMON.items()
    ]
    parameters = [*own, *common]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    del run.__wrapped__
    return run


def _silence_stdout() -> None:
    """Keep Python from failing again when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
