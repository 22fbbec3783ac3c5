"""A Functions host for one machine: the app's worker, its triggers, and the admin API."""
