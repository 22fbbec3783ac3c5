"""A local training service: jobs as processes, with MLflow for metrics and models."""
