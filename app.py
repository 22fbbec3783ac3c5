"""What the Functions host imports: the settings name this file as PYTHON_SCRIPT_FILE_NAME."""

from function_app.triggers import app

__all__ = ["app"]
