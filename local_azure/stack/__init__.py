"""The whole stack on one machine: starting it, the demo, and a webhook to watch its events."""
