"""Values: names, receipts, drops, events. No input and no output."""
