"""What the Functions host imports: the settings name this file as PYTHON_SCRIPT_FILE_NAME."""

from function_app.app import app

__all__ = ["app"]
