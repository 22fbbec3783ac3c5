"""From dropped files to a plan."""
