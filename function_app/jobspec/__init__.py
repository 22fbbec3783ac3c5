"""job.yaml: what it may say, and the Azure ML document that is made of it."""
