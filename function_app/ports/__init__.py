"""Interfaces to storage and to the training service."""
