"""Checks of dropped scripts before a node is paid for: Python 2, and notebooks that only start jobs elsewhere."""
