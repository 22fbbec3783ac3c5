"""The service: reacts to dropped files, submits jobs, registers and announces models."""

__version__ = "0.2.0"
