"""`kedja compute`: where jobs can run."""

from typing import Annotated

import typer

from kedja_cli.command_line import PlainGroup
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

_HEADINGS = ("name", "", "state", "size", "nodes", "error")

app = typer.Typer(cls=PlainGroup, help="List clusters that jobs can run on, and create one.", no_args_is_help=True)


@app.command("list")
@command
def list_compute(session: Session) -> None:
    """List the clusters that jobs can run on, the default one first."""
    document = session.api.get("/api/compute")
    if session.screen.as_json:
        session.screen.json(document)
        return
    items = sorted(document["items"], key=lambda one: (one["name"] != document["default"], one["name"]))
    rows = [_row(one, "default" if one["name"] == document["default"] else "") for one in items]
    session.screen.table(_HEADINGS, rows, "there is no cluster")


@app.command()
@command
def create(
    session: Session,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The cluster: 2 to 24 letters.")],
    size: Annotated[str, typer.Option(metavar="SIZE", help="Azure's name of a kind of machine.")],
    max_nodes: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="How many machines at most.")],
) -> None:
    """Create a cluster that is empty while no job runs, or change how many machines it may have."""
    made = session.api.put(f"/api/compute/{name}", {"size": size, "max_nodes": max_nodes})
    if session.screen.as_json:
        session.screen.json(made)
    else:
        session.screen.table(_HEADINGS, [_row(made, "")], "")


def _row(one: Json, mark: str) -> tuple[str | None, ...]:
    return one["name"], mark, one["state"], one["size"], f"{one['nodes']} of {one['max_nodes']}", one["error"]
