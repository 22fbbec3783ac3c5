"""JSON as the API returns it."""

from typing import Any

type Json = dict[str, Any]
"""A JSON object. Its content depends on the route."""
