"""JSON, as the API answers with it."""

from typing import Any

type Json = dict[str, Any]
"""A JSON object: what is in it is up to the route."""
