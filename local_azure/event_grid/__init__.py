"""A local Event Grid: topics, subscriptions, and deliveries to queues and webhooks."""
