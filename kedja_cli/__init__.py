"""`kedja`: Kedja at the command line, over its HTTP API. `docs/command.md` describes it for its users."""
