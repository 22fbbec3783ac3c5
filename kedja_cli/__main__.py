"""`python -m kedja_cli` is `kedja`."""

from kedja_cli.main import app

app(prog_name="kedja")
