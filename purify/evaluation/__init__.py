"""Evaluation: verification by models, detection of noise, and the gain of purification."""
