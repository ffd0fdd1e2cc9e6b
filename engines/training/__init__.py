"""Training of the quality engine."""
