"""What triggers, people and timers ask for."""
