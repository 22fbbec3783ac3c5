"""The operations that triggers, API callers and timers start."""
