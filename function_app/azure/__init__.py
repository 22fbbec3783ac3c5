"""Adapters to Azure's client libraries."""
