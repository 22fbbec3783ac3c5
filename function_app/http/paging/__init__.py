"""Pages of lists, and the tokens of their next pages."""
