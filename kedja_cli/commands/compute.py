"""`kedja compute`: the clusters that jobs can run on."""

from typing import Annotated

import typer

from kedja_cli.command_line import PlainGroup
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

_HEADINGS = ("name", "", "state", "size", "nodes", "error")

app = typer.Typer(cls=PlainGroup, help="List and create the clusters that jobs can run on.", no_args_is_help=True)


@app.command("list")
@command
def list_compute(session: Session) -> None:
    """List the clusters that jobs can run on, the default one first."""
    document = session.api.get("/api/compute")
    if session.output.as_json:
        session.output.json(document)
        return
    items = sorted(document["items"], key=lambda one: (one["name"] != document["default"], one["name"]))
    rows = [_row(one, "default" if one["name"] == document["default"] else "") for one in items]
    session.output.table(_HEADINGS, rows, "there are no clusters")


@app.command()
@command
def create(
    session: Session,
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME", show_default=False, help="The name of the cluster: 2 to 24 letters.")
    ],
    size: Annotated[str, typer.Option(metavar="SIZE", help="The size of its machines, as Azure names it.")],
    max_nodes: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="The maximum number of machines.")],
) -> None:
    """Create a cluster that has no machines while no job runs, or change how many it may have."""
    made = session.api.put(f"/api/compute/{name}", {"size": size, "max_nodes": max_nodes})
    if session.output.as_json:
        session.output.json(made)
    else:
        session.output.table(_HEADINGS, [_row(made, "")], "")


def _row(one: Json, mark: str) -> tuple[str | None, ...]:
    return one["name"], mark, one["state"], one["size"], f"{one['nodes']} of {one['max_nodes']}", one["error"]
