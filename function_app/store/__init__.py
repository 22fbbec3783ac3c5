"""What is kept in storage: receipts, snapshots, approvals, deletions."""
