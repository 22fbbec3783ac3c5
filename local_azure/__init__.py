"""Stand-ins that let the whole system run on one machine, without a cloud."""
