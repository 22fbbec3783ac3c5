"""Talking to the service over HTTP: requests, sign-in, waiting, diagnosis."""
