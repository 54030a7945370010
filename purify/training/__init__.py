"""Training: from a labeled set to a checkpoint."""
